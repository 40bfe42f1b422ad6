// The hand that measures: clicks and keys on the map. The source and its layers are put on top of whatever the style has.
import type { GeoJSONSource, Map as MapLibre, MapMouseEvent } from 'maplibre-gl';
import type { LonLat } from '../api/types';
import { readColors } from '../map/colors';
import { measureFeatures } from './features';
import { measure } from './measure.svelte';

const SOURCE = 'measure';
const FONT = ['Inter Variable', 'system-ui', 'sans-serif'];
const wrapped = (at: { lng: number; lat: number }): LonLat => [((((at.lng + 180) % 360) + 360) % 360) - 180, Math.max(-90, Math.min(90, at.lat))];

export class MeasureTool {
  #pointer: LonLat | null = null;
  #ready = false;
  #wasOn = false;

  constructor(
    private readonly map: MapLibre,
    private readonly centre: () => { lng: number; lat: number },
  ) {
    map.on('mousemove', (event) => this.#move(event));
    map.on('mouseout', () => this.#leave());
    map.on('contextmenu', (event) => {
      event.preventDefault();
      measure.openCard(wrapped(event.lngLat));
    });
    map.on('dblclick', (event) => {
      if (measure.isOn) event.preventDefault();
    });
  }

  click(event: MapMouseEvent): boolean {
    if (measure.isOn) measure.add(wrapped(event.lngLat));
    return measure.isOn;
  }

  key(event: KeyboardEvent): boolean {
    if (!measure.isOn) return false;
    if (event.key === 'Escape') measure.stop();
    else if (event.key === 'Backspace' || event.key === 'Delete') measure.takeBack();
    else if (event.key === ' ') this.set();
    else if (event.key === 'Enter') measure.close();
    else return false;
    return true;
  }

  /** A point at the cross in the middle. */
  set(): void {
    this.#pointer = null;
    measure.add(wrapped(this.centre()));
  }

  /** The position card for the middle of what can be seen. */
  openCard(): void {
    measure.openCard(wrapped(this.centre()));
  }

  restart(): void {
    const colors = readColors();
    this.map.addSource(SOURCE, { type: 'geojson', data: { type: 'FeatureCollection', features: [] } });
    this.map.addLayer({ id: 'measure-fill', type: 'fill', source: SOURCE, filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': colors.accent, 'fill-opacity': 0.12 } });
    this.map.addLayer({ id: 'measure-halo', type: 'line', source: SOURCE, filter: ['==', ['geometry-type'], 'LineString'], paint: { 'line-color': colors.halo, 'line-width': 5, 'line-opacity': 0.7 } });
    this.map.addLayer({ id: 'measure-line', type: 'line', source: SOURCE, filter: ['==', ['geometry-type'], 'LineString'], paint: { 'line-color': colors.accent, 'line-width': 2.2, 'line-opacity': ['case', ['boolean', ['get', 'free'], false], 0.6, 1] } });
    this.map.addLayer({ id: 'measure-corner', type: 'circle', source: SOURCE, filter: ['has', 'corner'], paint: { 'circle-radius': 4.5, 'circle-color': colors.halo, 'circle-stroke-color': colors.accent, 'circle-stroke-width': 2.2 } });
    this.map.addLayer({ id: 'measure-spot', type: 'circle', source: SOURCE, filter: ['has', 'spot'], paint: { 'circle-radius': 9, 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': colors.accent, 'circle-stroke-width': 2.5 } });
    this.map.addLayer({ id: 'measure-dot', type: 'circle', source: SOURCE, filter: ['has', 'spot'], paint: { 'circle-radius': 2, 'circle-color': colors.accent } });
    this.map.addLayer({ id: 'measure-label', type: 'symbol', source: SOURCE, filter: ['has', 'label'], layout: { 'text-field': ['get', 'label'], 'text-font': FONT, 'text-size': 12.5, 'text-allow-overlap': true }, paint: { 'text-color': colors.ink, 'text-halo-color': colors.halo, 'text-halo-width': 2 } });
    this.#ready = true;
    this.paint();
  }

  suspend(): void {
    this.#ready = false;
  }

  paint(): void {
    if (!this.#ready) return;
    const features = measureFeatures(measure.points, measure.isClosed, measure.isOn ? this.#pointer : null, measure.isCardOpen ? measure.spot : null);
    void this.map.getSource<GeoJSONSource>(SOURCE)?.setData({ type: 'FeatureCollection', features });
    if (measure.isOn === this.#wasOn) return;
    this.#wasOn = measure.isOn;
    this.#pointer = null;
    this.map.getCanvas().style.cursor = measure.isOn ? 'crosshair' : '';
    if (measure.isOn) this.map.doubleClickZoom.disable();
    else this.map.doubleClickZoom.enable();
  }

  #move(event: MapMouseEvent): void {
    if (!measure.isOn || measure.points.length === 0) return;
    this.#pointer = wrapped(event.lngLat);
    this.paint();
  }

  #leave(): void {
    if (this.#pointer === null) return;
    this.#pointer = null;
    this.paint();
  }
}
