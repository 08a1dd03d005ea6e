/** Where a module lies that a worker is started with, in the sources and in the published package. @module */

/**
 * The URL of a module in the same folder as another, whose `import.meta.url` is `base`. In the published package each is the beginning of a
 * bundle, and all bundles are in one folder (tools/build-package.ts).
 */
export function siblingModule(base: string, path: `./${string}.ts`): URL {
  return new URL(base.endsWith('.js') ? path.replace(/\.ts$/, '.js') : path, base);
}
