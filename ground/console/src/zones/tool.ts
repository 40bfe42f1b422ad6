// The hand that draws: pointer, finger and keyboard on the map, into the draft. A thin rim round drawing.ts.
import type { GeoJSONSource, Map as MapLibre, MapMouseEvent, MapTouchEvent } from 'maplibre-gl';
import type { LonLat } from '../api/types';
import { view } from '../state/view.svelte';
import { draftFeatures, zoneFeature } from './features';
import { zones } from './zones.svelte';

const REACH_PX = 10;
const TOUCH_REACH_PX = 22;

const wrapped = (at: { lng: number; lat: number }): LonLat => [((((at.lng + 180) % 360) + 360) % 360) - 180, Math.max(-90, Math.min(90, at.lat))];

export class DrawTool {
  #pointer: LonLat | null = null;
  #held: number | null = null;
  #ready = false;

  /** `centre`: what lies under the cross in the middle of what can be seen. */
  constructor(
    private readonly map: MapLibre,
    private readonly centre: () => { lng: number; lat: number },
  ) {
    map.on('mousemove', this.#move);
    map.on('touchmove', this.#move);
    map.on('mousedown', this.#down);
    map.on('touchstart', this.#down);
    map.on('mouseup', this.#up);
    map.on('touchend', this.#up);
    map.on('mouseout', this.#out);
    map.on('dblclick', this.#twice);
  }

  /** Whether a click belongs to the drawing; a corner is set by it then. */
  click(event: MapMouseEvent): boolean {
    if (!zones.draft?.isDrawing) return zones.draft !== null;
    const nearFirst = this.#cornerAt(event.point.x, event.point.y, REACH_PX);
    // A click on the first corner closes the ring, as everybody tries.
    if (nearFirst === 0 && zones.flaw === null && zones.draft.points.length > 2) zones.finish();
    else zones.add(wrapped(event.lngLat));
    return true;
  }

  /** A key while something is drawn; true when it was for the drawing. */
  key(event: KeyboardEvent): boolean {
    if (!zones.draft?.isDrawing) return false;
    if (event.key === 'Enter') zones.finish();
    else if (event.key === 'Escape') zones.cancel();
    else if (event.key === 'Backspace' || event.key === 'Delete') zones.takeBack();
    else if (event.key === ' ') this.set();
    else return false;
    return true;
  }

  /** A corner at the cross. */
  set(): void {
    zones.add(wrapped(this.centre()));
    this.#pointer = null;
  }

  /** The style is new: what is drawn has to be drawn again. */
  restart(): void {
    this.#ready = true;
    this.paintZones();
    this.paint();
  }

  suspend(): void {
    this.#ready = false;
  }

  paintZones(): void {
    if (!this.#ready) return;
    const shown = zones.zones.filter((zone) => zone.zone_id !== zones.draft?.zoneId);
    this.#set('zones', shown.map(zoneFeature));
    const isListed = view.tab === 'alerts' && view.shelf === 'zones';
    const chosen = !isListed || zones.chosenId === null || zones.draft ? undefined : zones.byId.get(zones.chosenId);
    this.#set('zonechosen', chosen ? [zoneFeature(chosen)] : []);
  }

  paint(): void {
    if (!this.#ready) return;
    const draft = zones.draft;
    const isFree = draft?.isDrawing === true && draft.points.length > 0;
    this.#set('draft', draft ? draftFeatures(draft.kind, draft.points, draft.width_m, isFree ? this.#pointer : null) : []);
    if (draft?.isDrawing) {
      this.map.doubleClickZoom.disable();
      this.map.getCanvas().style.cursor = 'crosshair';
    } else this.map.doubleClickZoom.enable();
  }

  #set(name: string, features: GeoJSON.Feature[]): void {
    void this.map.getSource<GeoJSONSource>(name)?.setData({ type: 'FeatureCollection', features });
  }

  #cornerAt(x: number, y: number, reach: number): number | null {
    const points = zones.draft?.points ?? [];
    let best: [number, number] | null = null;
    points.forEach((point, index) => {
      const spot = this.map.project(point);
      const away = Math.hypot(spot.x - x, spot.y - y);
      if (away <= reach && (best === null || away < best[1])) best = [index, away];
    });
    return best === null ? null : (best as [number, number])[0];
  }

  readonly #down = (event: MapMouseEvent | MapTouchEvent): void => {
    if (!zones.draft) return;
    const isTouch = event.type === 'touchstart';
    const corner = this.#cornerAt(event.point.x, event.point.y, isTouch ? TOUCH_REACH_PX : REACH_PX);
    // While drawing, the first corner waits for the click that closes; all others can be moved.
    if (corner === null || (corner === 0 && zones.draft.isDrawing)) return;
    event.preventDefault();
    this.#held = corner;
  };

  readonly #move = (event: MapMouseEvent | MapTouchEvent): void => {
    if (!zones.draft) return;
    const at = wrapped(event.lngLat);
    if (this.#held !== null) {
      event.preventDefault();
      zones.move(this.#held, at);
    } else if (zones.draft.isDrawing && event.type === 'mousemove') this.#pointer = at;
    else return;
    this.paint();
  };

  readonly #up = (): void => {
    this.#held = null;
  };

  readonly #out = (): void => {
    if (this.#pointer === null) return;
    this.#pointer = null;
    this.paint();
  };

  readonly #twice = (event: MapMouseEvent): void => {
    if (!zones.draft?.isDrawing) return;
    event.preventDefault();
    zones.finish();
  };
}
