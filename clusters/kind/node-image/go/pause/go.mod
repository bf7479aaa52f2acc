module everyhop.invalid/node-image/pause

go 1.24.0
