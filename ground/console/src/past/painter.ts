// Draws a moment of the past in a source of its own, with the same marks as the live picture.
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { readColors } from '../map/colors';
import { ellipseRing } from '../map/geometry';
import { contactGlyph } from '../map/glyphs';
import type { Moment, Thing } from './moment';
import { past } from './past.svelte';

const SOURCE = 'past';
const FONT = ['Inter Variable', 'system-ui', 'sans-serif'];
const EMPTY: Moment = { platforms: [], contacts: [], vessels: [], footprints: [] };

/** What the live picture draws with: hidden while the past is shown. */
export const LIVE_SOURCES: ReadonlySet<string> = new Set([
  'platforms', 'contacts', 'tracks', 'tracklines', 'trails', 'footprints', 'sightlines', 'uncertainty', 'wedges', 'vectors', 'ais', 'aistracks', 'silent', 'selected',
]);

export function pastFeatures(moment: Moment): GeoJSON.Feature[] {
  const out: GeoJSON.Feature[] = [];
  for (const one of moment.footprints) out.push({ type: 'Feature', properties: { part: 'footprint' }, geometry: { type: 'Polygon', coordinates: [one.ring] } });
  const put = (kind: string, thing: Thing, icon: string, rotate: number): void => {
    if (thing.trail.length > 1) out.push({ type: 'Feature', properties: { part: 'trail', kind }, geometry: { type: 'LineString', coordinates: thing.trail } });
    out.push({ type: 'Feature', properties: { part: 'mark', kind, icon, rotate, label: thing.name, stale: thing.isStale }, geometry: { type: 'Point', coordinates: thing.at } });
  };
  for (const one of moment.vessels) put('vessel', one, one.value === null ? 'ais-still' : 'ais-vessel', one.value ?? 0);
  for (const one of moment.contacts) {
    const ring = one.value === null || one.value < 1 ? null : ellipseRing(one.at, { semi_major_m: one.value, semi_minor_m: one.value, azimuth_deg: 0 });
    if (ring && !one.isStale) out.push({ type: 'Feature', properties: { part: 'uncertainty' }, geometry: { type: 'Polygon', coordinates: [ring] } });
    put('contact', one, `${contactGlyph(one.name)}-${one.review}`, 0);
  }
  for (const one of moment.platforms) put('platform', one, `${one.value === null ? 'aircraft-unknown' : 'aircraft'}${one.isStale ? '-stale' : ''}`, one.value ?? 0);
  return out;
}

export class PastPainter {
  #ready = false;

  constructor(private readonly map: MapLibre) {}

  restart(): void {
    const colors = readColors();
    const faint = ['case', ['boolean', ['get', 'stale'], false], 0.45, 1] as never;
    const own = ['match', ['get', 'kind'], 'platform', colors.platform, 'vessel', colors.ais, colors.contact] as never;
    const is = (part: string): never => ['==', ['get', 'part'], part] as never;
    this.map.addSource(SOURCE, { type: 'geojson', data: { type: 'FeatureCollection', features: [] } });
    this.map.addLayer({ id: 'past-footprint', type: 'fill', source: SOURCE, filter: is('footprint'), paint: { 'fill-color': colors.platform, 'fill-opacity': 0.12, 'fill-outline-color': colors.platform } });
    this.map.addLayer({ id: 'past-area', type: 'fill', source: SOURCE, filter: is('uncertainty'), paint: { 'fill-color': colors.contact, 'fill-opacity': 0.12, 'fill-outline-color': colors.contact } });
    this.map.addLayer({ id: 'past-trail', type: 'line', source: SOURCE, filter: is('trail'), layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': own, 'line-width': 1.8, 'line-opacity': 0.55 } });
    this.map.addLayer({
      id: 'past-mark',
      type: 'symbol',
      source: SOURCE,
      filter: is('mark'),
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-rotate': ['get', 'rotate'],
        'icon-rotation-alignment': 'map',
        'icon-allow-overlap': true,
        'text-field': ['get', 'label'],
        'text-font': FONT,
        'text-size': 12,
        'text-variable-anchor': ['left', 'right', 'top', 'bottom'],
        'text-radial-offset': 1.3,
        'text-optional': true,
      },
      paint: { 'icon-opacity': faint, 'text-opacity': faint, 'text-color': colors.ink, 'text-halo-color': colors.halo, 'text-halo-width': 1.6 },
    });
    this.#ready = true;
    this.paint();
  }

  suspend(): void {
    this.#ready = false;
  }

  paint(): void {
    if (!this.#ready) return;
    const features = pastFeatures(past.isOn ? past.moment() : EMPTY);
    void this.map.getSource<GeoJSONSource>(SOURCE)?.setData({ type: 'FeatureCollection', features });
  }
}
