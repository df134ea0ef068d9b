export * from '../../../protocol/test/examples/crypto.ts'
