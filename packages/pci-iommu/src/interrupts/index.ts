export { FunctionInterrupts } from './function-interrupts.ts';
export { InterruptController } from './interrupt-controller.ts';
export { type InterruptKind, InterruptSource } from './interrupt-source.ts';
export { isMessageAddress, MESSAGE_BYTES, MESSAGE_WINDOW, messageNumber, messageOf } from './message-window.ts';
export { MsixTable, type MsixEntry } from './msix-table.ts';
