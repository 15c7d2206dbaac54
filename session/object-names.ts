// SPDX-License-Identifier: Apache-2.0
import { isDevice, objectKindName } from '../abi/object-kinds.js';
import { escapeText } from '../abi/text.js';
import type { DeviceDefinition, ObjectDefinition } from '../traces/model.js';

/** What names are made from; a trace's DefinitionMaps will do. Of a stream the maps grow while it is read. */
export interface NamedDefinitions {
  readonly objects: ReadonlyMap<number, ObjectDefinition>;
  readonly devices: ReadonlyMap<number, DeviceDefinition>;
}

const NAMELESS = { name: '-', label: '-' } as const;

/** `device0`, `container0`, `eventfd3`: a word for the kind and a count in the order of the file. */
export class ObjectNames {
  readonly #definitions: NamedDefinitions;
  readonly #names = new Map<
    number,
    { readonly kind: number; readonly name: string; readonly label: string }
  >();
  readonly #ids = new Map<string, number>();
  readonly #counts = new Map<string, number>();
  #seen = 0;

  constructor(definitions: NamedDefinitions) {
    this.#definitions = definitions;
  }

  name(id: number): string {
    return this.#entry(id).name;
  }

  /** With the device's address: `device0 0000:00:04.0`. */
  label(id: number): string {
    return this.#entry(id).label;
  }

  /** The object of a name, as far as its definition was read. */
  id(name: string): number | undefined {
    this.#catchUp();
    return this.#ids.get(name);
  }

  kind(id: number): number {
    return this.#definitions.objects.get(id)?.kind ?? 0;
  }

  device(id: number): DeviceDefinition | undefined {
    const object = this.#definitions.objects.get(id);
    return object === undefined ? undefined : this.#definitions.devices.get(object.device);
  }

  #entry(id: number): { readonly name: string; readonly label: string } {
    if (id === 0) return NAMELESS;
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    this.#catchUp();
    return this.#names.get(id) ?? { name: `object${id}`, label: `object${id}` };
  }

  #catchUp(): void {
    if (this.#definitions.objects.size === this.#seen) return;
    this.#seen = this.#definitions.objects.size;
    for (const object of this.#definitions.objects.values()) {
      if (this.#names.has(object.id)) continue;
      const word = objectKindName(object.kind);
      const count = this.#counts.get(word) ?? 0;
      this.#counts.set(word, count + 1);
      const name = `${word}${count}`;
      const bdf = isDevice(object.kind) ? this.#definitions.devices.get(object.device)?.bdf : undefined;
      const label = bdf === undefined || bdf === '' ? name : `${name} ${escapeText(bdf)}`;
      this.#names.set(object.id, { kind: object.kind, name, label });
      this.#ids.set(name, object.id);
    }
  }
}
