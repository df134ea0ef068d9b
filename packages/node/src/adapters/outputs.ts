export { FileOutputReader, type OutputReaderInit } from './output-reader.ts'
export { FileOutputWriter, type OutputWriterInit } from './output-writer.ts'
