/** UTF-8 for the core, which has no TextDecoder. For short texts: names and paths. @module */

/** The text of some bytes; undefined when they are not UTF-8 or hold a NUL, which no name does. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    const text = decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

/** A text in UTF-8. A lone surrogate, which has no encoding, throws URIError. */
export const encodeUtf8 = (text: string): Uint8Array =>
  Uint8Array.from(encodeURIComponent(text).match(/%..|[^%]/g) ?? [], (unit) =>
    unit.length === 3 ? Number.parseInt(unit.slice(1), 16) : unit.charCodeAt(0),
  );
