// An image for tests: a program that gives up.
console.error('this agent cannot go on')
process.exit(1)
