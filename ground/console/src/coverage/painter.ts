// Draws the cells into one picture and lays it under everything that was seen; a thousand polygons would cost the frame rate.
import type { CanvasSource, Map as MapLibre } from 'maplibre-gl';
import { readColors } from '../map/colors';
import { coverage, STRENGTHS, type Cells } from './coverage.svelte';

const ID = 'coverage';
const MOST_PX = 2_048;

const mercator = (latitude: number): number => Math.log(Math.tan(Math.PI / 4 + (Math.max(-85, Math.min(85, latitude)) * Math.PI) / 360));

export class CoveragePainter {
  #ready = false;
  readonly #canvas = document.createElement('canvas');

  constructor(private readonly map: MapLibre) {}

  restart(): void {
    this.#ready = true;
    this.paint();
  }

  suspend(): void {
    this.#ready = false;
  }

  paint(): void {
    if (!this.#ready) return;
    const cells = coverage.isOn ? coverage.cells : null;
    if (this.map.getLayer(ID)) this.map.removeLayer(ID);
    if (this.map.getSource(ID)) this.map.removeSource(ID);
    if (!cells || cells.row.length === 0) return;
    const coordinates = this.#draw(cells);
    this.map.addSource(ID, { type: 'canvas', canvas: this.#canvas, coordinates, animate: false } as never);
    const below = this.map.getLayer('graticule') ? 'graticule' : undefined;
    this.map.addLayer({ id: ID, type: 'raster', source: ID, paint: { 'raster-resampling': 'nearest', 'raster-fade-duration': 0 } }, below);
    this.map.getSource<CanvasSource>(ID)?.prepare?.();
  }

  /** Cells into the canvas, rows where Mercator has them; returns the corners, clockwise from the upper left. */
  #draw(cells: Cells): [[number, number], [number, number], [number, number], [number, number]] {
    const most = (values: number[]): number => values.reduce((best, one) => Math.max(best, one), 0);
    const least = (values: number[]): number => values.reduce((best, one) => Math.min(best, one), Infinity);
    const [left, right, low, high] = [least(cells.column), most(cells.column) + 1, least(cells.row), most(cells.row) + 1];
    const scale = Math.max(1, Math.min(4, Math.floor(MOST_PX / Math.max(right - left, high - low))));
    const [south, north] = [cells.south + low * cells.stepLat, cells.south + high * cells.stepLat];
    const [bottom, top] = [mercator(south), mercator(north)];
    this.#canvas.width = Math.min(MOST_PX, (right - left) * scale);
    this.#canvas.height = Math.min(MOST_PX, (high - low) * scale);
    const pen = this.#canvas.getContext('2d') as CanvasRenderingContext2D;
    pen.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const colour = readColors().platform;
    const wide = this.#canvas.width / (right - left);
    const yOf = (row: number): number => Math.round(((top - mercator(cells.south + row * cells.stepLat)) / (top - bottom)) * this.#canvas.height);
    pen.fillStyle = colour;
    cells.row.forEach((row, index) => {
      pen.globalAlpha = STRENGTHS[coverage.step(cells, index)] ?? 0.14;
      const [x0, x1] = [Math.round(((cells.column[index] ?? 0) - left) * wide), Math.round(((cells.column[index] ?? 0) + 1 - left) * wide)];
      const [y0, y1] = [yOf(row + 1), yOf(row)];
      pen.fillRect(x0, y0, x1 - x0, Math.max(1, y1 - y0));
    });
    pen.globalAlpha = 1;
    const [west, east] = [cells.west + left * cells.stepLon, cells.west + right * cells.stepLon];
    return [[west, north], [east, north], [east, south], [west, south]];
  }
}
