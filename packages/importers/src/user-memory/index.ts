export { UserMemory } from './user-memory.ts';
