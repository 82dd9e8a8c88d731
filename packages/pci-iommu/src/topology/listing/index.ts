export type { ListedGroup } from './listed-group.ts';
export { readGroupListing } from './read-group-listing.ts';
