/**
 * A vCPU's thread: the machine as seen from there, and its life from start to stop.
 *
 * @module
 */
import { Bus } from '../bus/bus.ts';
import { takeCodeWrites } from '../bus/code-writes.ts';
import {
  ControlArea,
  REQUEST_DROP_CODE,
  REQUEST_PAUSE,
  REQUEST_RESET,
  REQUEST_STOP,
  STATE_PAUSED,
  STATE_RUNNING,
  STATE_STOPPED,
} from '../bus/control.ts';
import { MailboxClient } from '../bus/mailbox-client.ts';
import { PortTable } from '../bus/port-table.ts';
import { tracedBus } from '../bus/traced-bus.ts';
import type { VcpuExit } from '../hypervisor/exit.ts';
import type { ExternalInterrupts, Hypervisor, SoftwareVcpu, Vcpu, VcpuOptions } from '../hypervisor/hypervisor.ts';
import type { InitialCpuState } from '../hypervisor/initial-state.ts';
import type { VcpuStats } from '../hypervisor/stats.ts';
import { IrqChip } from '../irqchip/irqchip.ts';
import { PmTimer } from '../irqchip/pm-timer.ts';
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import type { Clock } from '../util/clock.ts';
import type { VcpuTrace } from '../util/trace.ts';

/** What the VMM thread hands to a vCPU's thread; survives `structuredClone`. */
export interface VcpuThreadConfig {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly index: number;
  readonly physicalAddressBits: number;
}

/** What only the host can do. */
export interface VcpuThreadHost {
  readonly clock: Clock;
  readonly hypervisor: Hypervisor;
  readonly random32: () => number | undefined;
  /** The state to start from; the VMM thread has sent it before it asked for the reset. The first processor is paused until then. */
  takeInitialState(): InitialCpuState | undefined;
  readonly trace?: VcpuTrace | undefined;
}

/** How a vCPU's thread ended. */
export interface VcpuThreadEnd {
  readonly exit: VcpuExit;
  readonly stats: VcpuStats;
}

/** The devices that a vCPU's thread runs itself. */
interface LocalDevices {
  readonly ports: Bus;
  readonly mmio: Bus;
}

/** The 8259 pair, which the VMM thread runs (outer-irqchip.ts), as the first processor sees it. */
function externalInterrupts({ memory, map, physicalAddressBits }: VcpuThreadConfig, clock: Clock): ExternalInterrupts {
  const irqchip = new IrqChip({
    buffer: memory.buffer,
    map,
    clock,
    kick() {},
    tscOffset: () => 0,
    physicalAddressBits,
    // To acknowledge an interrupt sends nothing, and this thread sees for itself what the pair asks for next.
    external: { send: () => false, levelRoutes() {}, intr() {}, timerMoved() {} },
  });
  return {
    get asserted() {
      return irqchip.intrAsserted;
    },
    acknowledge: () => irqchip.acknowledgePic(),
  };
}

/** Makes the vCPU, and attaches what of interrupt controllers and timers this thread has to run for it. */
function createVcpu(
  config: VcpuThreadConfig,
  hypervisor: Hypervisor,
  options: VcpuOptions,
  area: ControlArea,
  local: LocalDevices,
): Vcpu {
  const { memory, map, index, clock } = options;
  if (hypervisor.interruptControllers !== 'shared-memory') {
    new PmTimer(memory.buffer, map, clock).attach(local.ports);
    const seesPic = hypervisor.interruptControllers === 'own-local-apics' && index === 0;
    return hypervisor.createVcpu(options, seesPic ? externalInterrupts(config, clock) : undefined);
  }
  const made: { vcpu?: SoftwareVcpu } = {};
  const irqchip = new IrqChip({
    buffer: memory.buffer,
    map,
    clock,
    kick: (target) => area.vcpu(target).kick(),
    tscOffset: (of) => (of === index ? (made.vcpu?.tscOffset() ?? 0) : 0),
    physicalAddressBits: config.physicalAddressBits,
  });
  irqchip.attach(local.ports, local.mmio);
  made.vcpu = hypervisor.createVcpu({ ...options, interrupts: irqchip.vcpu(index) });
  return made.vcpu;
}

/** Runs a vCPU until it is stopped or cannot go on. Blocks the thread. */
export function runVcpuThread(config: VcpuThreadConfig, host: VcpuThreadHost): VcpuThreadEnd {
  const { memory, map, index } = config;
  const area = new ControlArea(memory.buffer, map);
  const control = area.vcpu(index);
  const local: LocalDevices = { ports: new Bus(), mmio: new Bus() };
  const bus = new MailboxClient({
    control: area,
    vcpu: index,
    ports: new PortTable(memory.buffer, map),
    localPorts: local.ports,
    localMmio: local.mmio,
  });
  const options: VcpuOptions = {
    memory,
    map,
    index,
    clock: host.clock,
    bus: host.trace === undefined ? bus : tracedBus(bus, host.trace.vcpu),
    control,
    random32: host.random32,
    trace: host.trace,
  };
  const vcpu = createVcpu(config, host.hypervisor, options, area, local);
  control.state = STATE_RUNNING;
  for (;;) {
    const exit = vcpu.run();
    const { requests } = control;
    if (exit.kind === 'kicked' && (requests & REQUEST_STOP) === 0) {
      if ((requests & REQUEST_DROP_CODE) !== 0) {
        control.clearRequest(REQUEST_DROP_CODE);
        const { pages, acknowledge } = takeCodeWrites(area, index);
        vcpu.forgetCode?.(pages);
        acknowledge();
      }
      if ((requests & REQUEST_PAUSE) !== 0) {
        control.state = STATE_PAUSED;
        while ((control.requests & (REQUEST_PAUSE | REQUEST_STOP)) === REQUEST_PAUSE) {
          control.clearKick();
          if ((control.requests & (REQUEST_PAUSE | REQUEST_STOP)) === REQUEST_PAUSE) control.waitForKick(1000);
        }
        control.state = STATE_RUNNING;
      }
      if ((control.requests & REQUEST_RESET) !== 0) {
        control.clearRequest(REQUEST_RESET);
        const initial = host.takeInitialState();
        if (initial === undefined) vcpu.reset();
        else vcpu.load(initial);
      }
      continue;
    }
    control.thread = 0;
    control.state = STATE_STOPPED;
    const stats = { ...vcpu.stats(), deviceCalls: bus.calls, postedWrites: bus.posted };
    return { exit, stats };
  }
}
