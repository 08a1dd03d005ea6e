/** Disks and files that a command opens are closed at the end of its block. @module */

/** Something that is closed at the end of the block; an error of that counts like any other. */
export const disposable = <T extends { close(): Promise<void> }>(disk: T): { readonly disk: T } & AsyncDisposable => ({
  disk,
  [Symbol.asyncDispose]: () => disk.close(),
});
