/**
 * The module of a region: what it imports, and its one function.
 *
 * @module
 */
import type { Callee, FunctionBuffers } from '../emit/function-builder.ts';
import { ByteWriter } from '../emit/byte-writer.ts';
import { FunctionImports, ModuleBuilder } from '../emit/module-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { type RegionConstants, RegionEmitter } from './emit-region.ts';
import type { Region } from './region.ts';
import { TooLarge } from './region-body.ts';
import { REGION_IMPORTS, type RegionBindings } from './region-imports.ts';

/** What is the same in every region's module, made once. */
const IMPORTS = new FunctionImports();
const HELPERS = Object.fromEntries(
  Object.entries(REGION_IMPORTS).map(([name, [params, result]]): [string, Callee] => [
    name,
    IMPORTS.import(name, params, result),
  ]),
) as unknown as HelperFunctions;

/** Regions are written one after the other, into memory that is there: what is allocated anew for each costs 1 µs an instruction. */
const BUFFERS: FunctionBuffers = { code: new ByteWriter(0x1_0000), prologue: new ByteWriter(0x1000) };
const MODULE = new ByteWriter(0x1_0000);

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
  const module = new ModuleBuilder(IMPORTS);
  module.importMemory();
  module.importTable('handlers');
  module.importTable('regions');
  const constants: RegionConstants = {
    handlers: new Map(
      called.map((insn, n) => [
        insn,
        { index: module.importConstant(`handler${n}`), record: module.importConstant(`record${n}`) },
      ]),
    ),
    logs: new Map(indirect.map((insn, n) => [insn, module.importConstant(`log${n}`)])),
  };
  const f = module.function(['i32'], 'i32', BUFFERS);
  try {
    new RegionEmitter(module, f, region, HELPERS, constants, isHot).run();
  } catch (error) {
    if (error instanceof TooLarge) return undefined;
    throw error;
  }
  module.export('r', f);
  module.name(f, name);
  return module.toBytes(MODULE);
}
