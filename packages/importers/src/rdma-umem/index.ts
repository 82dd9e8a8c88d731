export { checkRegistration, MrAccess, type RegistrationInfo } from './registration.ts';
export { umemGetPinned, umemGetPinnedRevocableAndLock } from './pinned-umem.ts';
export { registerRevokeHook, type RevokeHook } from './revoke-hooks.ts';
export { Umem, umemGet, type UmemInfo } from './umem.ts';
