/**
 * node:http as it is. Importing it as an ES module reads every export, and one of them is a getter that loads undici: 100 ms and 13 MB for each process,
 * the CNI plugin of every pod among them.
 */
export const { createServer, request, STATUS_CODES } = process.getBuiltinModule('node:http')
