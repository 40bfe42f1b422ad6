// Sends a source only what changed: with thousands of contacts a whole redraw at every beat would cost the frame rate.
import type { GeoJSONSource } from 'maplibre-gl';

export class DiffedSource {
  #sent = new Map<string, GeoJSON.Feature>();

  /** Forget what was sent: the style, and with it the source, is new. */
  reset(): void {
    this.#sent.clear();
  }

  /** Makes `source` show exactly `features`; unchanged ones (same object) are not sent again. */
  push(source: GeoJSONSource, features: Map<string, GeoJSON.Feature>): void {
    const add: GeoJSON.Feature[] = [];
    for (const [id, feature] of features) if (this.#sent.get(id) !== feature) add.push(feature);
    const remove = [...this.#sent.keys()].filter((id) => !features.has(id));
    if (add.length === 0 && remove.length === 0) return;
    if (this.#sent.size === 0) void source.setData({ type: 'FeatureCollection', features: [...features.values()] });
    else void source.updateData({ remove, add });
    this.#sent = new Map(features);
  }
}
