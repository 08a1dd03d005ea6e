/**
 * Writes cpio archives in the "newc" format, the one that Linux unpacks as its initial root file system (Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst). Everything belongs to root and has the same time, so that
 * the same entries give the same bytes. Reads nothing from the host: device nodes need no privilege.
 *
 * @module
 */

export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly data: Uint8Array | string; readonly mode?: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly major: number;
      readonly minor: number;
      readonly mode?: number;
    };

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
const HEADER_BYTES = 110;

// inode(7): the file type in the upper bits of the mode.
const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface Header {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly seconds: number;
  readonly major: number;
  readonly minor: number;
}

const pad = (bytes: number): number => -bytes & 3;

/** Appends one member: header, name with its zero, data, the latter two filled up to a multiple of four bytes. */
function member(parts: Uint8Array[], path: string, header: Header, data: Uint8Array): void {
  const name = new TextEncoder().encode(`${path}\0`);
  // biome-ignore format: the header's fields in their order
  const fields = [
    header.inode, header.mode, 0 /* uid */, 0 /* gid */, header.links, header.seconds, data.length,
    0 /* device of the file system, major and minor */, 0, header.major, header.minor, name.length, 0 /* checksum */,
  ];
  const text = MAGIC + fields.map((value) => value.toString(16).padStart(8, '0').toUpperCase()).join('');
  const nameEnd = HEADER_BYTES + name.length;
  parts.push(
    new TextEncoder().encode(text),
    name,
    new Uint8Array(pad(nameEnd)),
    data,
    new Uint8Array(pad(data.length)),
  );
}

/**
 * The archive of the entries, in their order: a directory comes before what is in it. Paths are relative ("bin/sh").
 * `seconds` since 1970 is every entry's modification time.
 */
export function writeCpio(entries: Iterable<CpioEntry>, seconds = 0): Uint8Array {
  const parts: Uint8Array[] = [];
  const nothing = new Uint8Array(0);
  const seen = new Set<string>();
  let inode = 0;
  for (const entry of entries) {
    const { path } = entry;
    if (path === '' || path.startsWith('/')) throw new RangeError(`path "${path}" of a cpio entry is not relative`);
    if (seen.has(path)) throw new RangeError(`path "${path}" is there twice`);
    seen.add(path);
    const common = { inode: ++inode, links: 1, seconds, major: 0, minor: 0 };
    switch (entry.kind) {
      case 'directory':
        member(parts, path, { ...common, links: 2, mode: S_IFDIR | (entry.mode ?? 0o755) }, nothing);
        break;
      case 'file': {
        const data = typeof entry.data === 'string' ? new TextEncoder().encode(entry.data) : entry.data;
        member(parts, path, { ...common, mode: S_IFREG | (entry.mode ?? 0o644) }, data);
        break;
      }
      case 'symlink':
        member(parts, path, { ...common, mode: S_IFLNK | 0o777 }, new TextEncoder().encode(entry.target));
        break;
      case 'character-device': {
        const { major, minor } = entry;
        member(parts, path, { ...common, major, minor, mode: S_IFCHR | (entry.mode ?? 0o600) }, nothing);
        break;
      }
    }
  }
  member(parts, TRAILER, { inode: 0, mode: 0, links: 1, seconds: 0, major: 0, minor: 0 }, nothing);
  const archive = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}
