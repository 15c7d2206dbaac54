// SPDX-License-Identifier: Apache-2.0
/**
 * Accesses that are no load or store of a known value: wider than eight bytes, read-modify-writes, what the device
 * refused, and what the recorder did not see the value of.
 */
import { MmioForm } from '../../abi/mmio-sites.js';
import { hex } from '../../abi/text.js';
import { updateInstruction } from '../../abi/update-instruction.js';
import { regionName } from '../../abi/vfio/regions.js';
import { isRedacted, payloadBytes } from '../../session/payloads.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import { littleEndian } from './bytes.js';
import type { ReplayContext } from './context.js';
import type { HeldMapping, OpenDevice } from './counterparts.js';
import { updateByOperand, updateByValues } from './locked-update.js';
import type { AccessWidth, LockedUpdate, WideOutcome } from './target.js';

interface Place extends HeldMapping {
  /** In the mapping. */
  readonly at: number;
  readonly region: number;
  readonly offset: number;
  readonly width: number;
}

export class SpecialAccesses {
  readonly #context: ReplayContext;

  constructor(context: ReplayContext) {
    this.#context = context;
  }

  /** Whether it was made. */
  access(event: Event, device: OpenDevice, region: number, offset: number, width: number): boolean {
    const { account, target } = this.#context;
    const held = device.place(region, offset, width);
    const place = { ...held, at: offset - held.start, region, offset, width };
    const reason = this.#make(event, place);
    if (reason !== undefined) account.omit(reason);
    target.settle();
    return reason === undefined;
  }

  /** Undefined when it was made; else why it is left out. */
  #make(event: Event, place: Place): string | undefined {
    if (place.width === 0) return 'accesses of which the recorder did not see the width';
    if (event.errno !== 0) return this.#refused(event, place);
    const unknown = (event.flags & EventFlag.UNKNOWN) !== 0 || isRedacted(event);
    switch (event.kind) {
      case EventKind.LOAD:
        return this.#load(event, place, unknown);
      case EventKind.STORE:
        return unknown ? 'stores of which the recorder did not see the value' : this.#store(event, place);
      default:
        return this.#update(event, place, unknown);
    }
  }

  /**
   * The device did not answer, or the mapping did not allow it. Whether it answers here a load tells, also where it was a
   * store: that was never made.
   */
  #refused(event: Event, place: Place): undefined {
    const { account } = this.#context;
    if (event.kind !== EventKind.LOAD && place.readOnly) return undefined;
    account.operations++;
    account.compare();
    if (this.#loadBytes(place, new Uint8Array(place.width)) !== 'fault')
      account.diverge('fault', event.number, event.object, placeText(place), 'SIGBUS', 'an access');
    return undefined;
  }

  #load(event: Event, place: Place, unknown: boolean): string | undefined {
    const { account, compare, guard } = this.#context;
    const data = payloadBytes(event, PayloadRole.DATA) ?? littleEndian(event.value, place.width);
    account.operations++;
    const seen = new Uint8Array(place.width);
    const outcome = this.#loadBytes(place, seen);
    this.#tell(outcome, event, place);
    if (outcome === 'fault' || unknown || guard?.isTable(place.region, place.offset, place.width) === true)
      return undefined;
    if (data.length === place.width) compare.bytes(event, place.region, place.offset, data, seen);
    return undefined;
  }

  #store(event: Event, place: Place): string | undefined {
    const { account } = this.#context;
    const data = payloadBytes(event, PayloadRole.DATA) ?? littleEndian(event.value, place.width);
    if (data.length !== place.width || (place.width > 8 && event.payloads.length === 0))
      return 'wide stores of which not all bytes were recorded';
    const outcome = this.#storeBytes(event, place, data);
    if (outcome === 'none') return LINE_REASON;
    account.operations++;
    this.#tell(outcome, event, place);
    return undefined;
  }

  #loadBytes({ mapping, at, width }: Place, into: Uint8Array): WideOutcome {
    if (!isNarrow(width)) return mapping.loadWide(at, into);
    const value = mapping.load(at, width);
    if (value === undefined) return 'fault';
    into.set(littleEndian(value, width));
    return 'whole';
  }

  #storeBytes({ op }: Event, { mapping, at }: Place, from: Uint8Array): WideOutcome {
    return mapping.storeWide(at, from, op >>> 24 === MmioForm.LINE);
  }

  #tell(outcome: WideOutcome, event: Event, place: Place): void {
    const { account } = this.#context;
    if (outcome === 'fault') this.faulted(event.object, place.region, place.offset);
    if (outcome === 'pieces') account.omit(`one access of ${place.width} bytes, which was made in pieces`);
  }

  #update(event: Event, place: Place, unknown: boolean): string | undefined {
    const { account, trace, compare } = this.#context;
    const { region, offset, width, mapping, at } = place;
    if (!isNarrow(width)) return `read-modify-writes of ${width} bytes`;
    const bytes = trace.definitions.mmioSites.get(event.site)?.instruction ?? new Uint8Array();
    const { operation, locked } = updateInstruction(bytes);
    const form = event.op >>> 24;
    const value = BigInt.asUintN(8 * width, event.value);
    let update: LockedUpdate | undefined;
    if (!unknown) update = updateByValues(operation, BigInt.asUintN(8 * width, event.result), value, width);
    else if (form === MmioForm.LOCKED) update = updateByOperand(operation, value, width);
    if (update === undefined) return 'read-modify-writes of which the recorder did not see the value';
    account.operations++;
    const inOne = locked || form === MmioForm.LOCKED || form === MmioForm.EXCHANGE;
    const old = inOne ? mapping.update(at, width, update) : twoAccesses(place, width, value);
    if (old === undefined) {
      this.faulted(event.object, region, offset);
      return undefined;
    }
    if (unknown || old === null) return undefined;
    account.compare();
    const before = BigInt.asUintN(8 * width, event.result);
    if (old !== before) compare.value(event.number, event.object, region, offset, width, before, old);
    return undefined;
  }

  faulted(object: number, region: number, offset: number): void {
    const { account } = this.#context;
    account.diverge('fault', account.event, object, placeText({ region, offset }), 'an access', 'SIGBUS');
  }
}

const LINE_REASON = 'stores of 64 bytes in one (movdir64b), which this processor has no instruction for';

function isNarrow(width: number): width is AccessWidth {
  return width === 1 || width === 2 || width === 4 || width === 8;
}

/** An instruction without a lock loads, and then stores. */
function twoAccesses({ mapping, at }: Place, width: AccessWidth, value: bigint): bigint | undefined {
  const old = mapping.load(at, width);
  return old !== undefined && mapping.store(at, width, value) ? old : undefined;
}

function placeText({ region, offset }: { readonly region: number; readonly offset: number }): string {
  return `${regionName(region)}+${hex(offset)}`;
}
