/**
 * Loading koffi, an optional dependency, which calls functions of C libraries. What it runs first finds out which of its binaries this host
 * takes; the package of the binaries for one kind of host comes without that, and is there in two of six milliseconds.
 *
 * @module
 */
import { createRequire } from 'node:module';
import type Koffi from 'koffi';

/** @throws what `require` throws where koffi is not installed or does not load. */
export function loadKoffi(): typeof Koffi {
  const fromHere = createRequire(import.meta.url);
  const koffi = fromHere.resolve('koffi');
  try {
    return createRequire(koffi)(`@koromix/koffi-${process.platform}-${process.arch}`) as typeof Koffi;
  } catch {
    // Built where it was installed, or packed in another way: koffi itself knows.
    return fromHere('koffi') as typeof Koffi;
  }
}
