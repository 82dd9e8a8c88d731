export { GrantTable, type GrantHit, type GrantInfo, type GrantView } from './grant-table.ts';
