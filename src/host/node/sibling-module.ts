/** Where a module lies that a worker is started with, in the sources and in the published package. @module */

/**
 * The URL of a module named relative to another, whose `import.meta.url` is `base`. Import specifiers are rewritten from
 * `.ts` to `.js` when the package is built; a path in a string is not, so it follows the extension of its base.
 */
export function siblingModule(base: string, path: `${string}.ts`): URL {
  return new URL(base.endsWith('.js') ? path.replace(/\.ts$/, '.js') : path, base);
}
