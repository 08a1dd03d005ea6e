/**
 * The module of some regions: what it imports, and a function for each.
 *
 * @module
 */
import type { Callee, FunctionBuffers } from '../emit/function-builder.ts';
import { ByteWriter } from '../emit/byte-writer.ts';
import { FunctionImports, ModuleBuilder } from '../emit/module-builder.ts';
import type { I32 } from '../emit/expr.ts';
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

/** Most regions of one module: each of the first few makes all of them cheaper by what V8 takes for a module, 0.2 ms and 20 KiB. */
export const MAX_BATCH = 4;

/** Regions are written into memory that is there: what is allocated anew for each costs 1 µs an instruction. */
const BUFFERS: readonly FunctionBuffers[] = Array.from({ length: MAX_BATCH }, () => ({
  code: new ByteWriter(0x1_0000),
  prologue: new ByteWriter(0x1000),
}));
const MODULE = new ByteWriter(0x1_0000);

/** What a module is made of. */
export interface RegionSource {
  readonly region: Region;
  readonly bindings: RegionBindings;
  /** May be larger for speed. */
  readonly isHot: boolean;
  /** What profilers know the function as. */
  readonly name: string;
}

/** What the function of the region at `index` is exported as, and what its constants are imported as. */
export const regionName = (index: number): string => `r${index}`;
export const constantName = (kind: 'handler' | 'record' | 'log', index: number, n: number): string =>
  `${kind}${index}.${n}`;

/**
 * Builds a module with one exported function for every region, at most MAX_BATCH of them. Of regions whose function would be too large the
 * indices are returned in place of a module.
 */
export function buildRegionModule(sources: readonly RegionSource[]): Uint8Array<ArrayBuffer> | number[] {
  const module = new ModuleBuilder(IMPORTS);
  module.importMemory();
  module.importTable('handlers');
  module.importTable('regions');
  // All constants come before the first function.
  const constants = sources.map(({ bindings: { called, indirect } }, index): RegionConstants => {
    const constant = (kind: 'handler' | 'record' | 'log', n: number): I32 =>
      module.importConstant(constantName(kind, index, n));
    return {
      handlers: new Map(
        called.map((insn, n) => [insn, { index: constant('handler', n), record: constant('record', n) }]),
      ),
      logs: new Map(indirect.map((insn, n) => [insn, constant('log', n)])),
    };
  });
  const tooLarge: number[] = [];
  sources.forEach(({ region, isHot, name }, index) => {
    const f = module.function(['i32'], 'i32', BUFFERS[index]);
    try {
      new RegionEmitter(module, f, region, HELPERS, constants[index] as RegionConstants, isHot).run();
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      tooLarge.push(index);
    }
    module.export(regionName(index), f);
    module.name(f, name);
  });
  return tooLarge.length > 0 ? tooLarge : module.toBytes(MODULE);
}
