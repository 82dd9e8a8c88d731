export { completion, i32, mutex, ref, refcount, rwsem, u53, waitqueue, words, wwmutex } from './field.ts';
export { struct, type Struct, type StructInfo } from './struct.ts';
