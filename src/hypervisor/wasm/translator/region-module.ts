/**
 * The module of a region: what it imports, and its one function.
 *
 * @module
 */
import type { Callee } from '../emit/function-builder.ts';
import { ModuleBuilder } from '../emit/module-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { type RegionConstants, RegionEmitter, TooLarge } from './emit-region.ts';
import type { Region } from './region.ts';
import { REGION_IMPORTS, type RegionBindings } from './region-imports.ts';

/**
 * Builds a module with one exported function `r`, which profilers know as `name`; code that is hot may be larger for speed. Undefined when
 * the function would be too large.
 */
export function buildRegionModule(
  region: Region,
  { called, indirect }: RegionBindings,
  isHot: boolean,
  name = 'region',
): Uint8Array<ArrayBuffer> | undefined {
  const module = new ModuleBuilder();
  module.importMemory();
  module.importTable('handlers');
  module.importTable('regions');
  const helpers: Record<string, Callee> = {};
  for (const [name, [params, result]] of Object.entries(REGION_IMPORTS)) {
    helpers[name] = module.importFunction(name, params, result);
  }
  const constants: RegionConstants = {
    handlers: new Map(
      called.map((insn, n) => [
        insn,
        { index: module.importConstant(`handler${n}`), record: module.importConstant(`record${n}`) },
      ]),
    ),
    logs: new Map(indirect.map((insn, n) => [insn, module.importConstant(`log${n}`)])),
  };
  const f = module.function(['i32'], 'i32');
  try {
    new RegionEmitter(module, f, region, helpers as unknown as HelperFunctions, constants, isHot).run();
  } catch (error) {
    if (error instanceof TooLarge) return undefined;
    throw error;
  }
  module.export('r', f);
  module.name(f, name);
  return module.toBytes();
}
