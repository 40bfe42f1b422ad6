// The map's layers of zones, and the patterns that tell them apart without colour.
import type { FilterSpecification, LayerSpecification } from 'maplibre-gl';
import type { MapColors } from '../map/colors';

export const ZONE_LAYERS = ['zone-fill', 'zone-stripes', 'zone-dots', 'zone-band', 'zone-band-edge', 'zone-edge', 'zone-edge-exclusion', 'zone-edge-mute', 'zone-line', 'zone-label'];
/** These are shown whatever is switched off: one must see what one draws. */
export const DRAFT_LAYERS = ['draft-fill', 'draft-band', 'draft-line', 'draft-corner', 'zone-chosen'];

const kindIs = (...kinds: string[]): FilterSpecification => ['in', ['get', 'kind'], ['literal', kinds]];
/** A width in metres on the ground: pixels double with each zoom. */
const onGround = (factor = 1): never => ['interpolate', ['exponential', 2], ['zoom'], 0, ['*', ['get', 'wide'], factor], 22, ['*', ['get', 'wide'], factor * 2 ** 22]] as never;

export function zoneSurfaceLayers(colors: MapColors): LayerSpecification[] {
  const own = ['match', ['get', 'kind'], 'exclusion', colors.bad, 'mute', colors.muted, colors.zone] as never;
  return [
    { id: 'zone-fill', type: 'fill', source: 'zones', filter: kindIs('area', 'exclusion', 'mute'), paint: { 'fill-color': own, 'fill-opacity': ['match', ['get', 'kind'], 'mute', 0.03, 0.07] } },
    { id: 'zone-dots', type: 'fill', source: 'zones', filter: kindIs('area'), paint: { 'fill-pattern': 'zone-dots', 'fill-opacity': 0.55 } },
    { id: 'zone-stripes', type: 'fill', source: 'zones', filter: kindIs('exclusion'), paint: { 'fill-pattern': 'zone-stripes', 'fill-opacity': 0.5 } },
    { id: 'zone-band', type: 'line', source: 'zones', filter: kindIs('corridor'), layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': colors.zone, 'line-width': onGround(), 'line-opacity': 0.14 } },
    { id: 'zone-band-edge', type: 'line', source: 'zones', filter: kindIs('corridor'), layout: { 'line-join': 'round' }, paint: { 'line-color': colors.zone, 'line-width': 1.4, 'line-gap-width': onGround(), 'line-opacity': 0.9 } },
    { id: 'zone-edge', type: 'line', source: 'zones', filter: kindIs('area'), paint: { 'line-color': colors.zone, 'line-width': 1.8 } },
    { id: 'zone-edge-exclusion', type: 'line', source: 'zones', filter: kindIs('exclusion'), paint: { 'line-color': colors.bad, 'line-width': 2.6 } },
    { id: 'zone-edge-mute', type: 'line', source: 'zones', filter: kindIs('mute'), paint: { 'line-color': colors.muted, 'line-width': 1.6, 'line-dasharray': [3, 2] } },
    { id: 'zone-line', type: 'line', source: 'zones', filter: kindIs('line', 'corridor'), paint: { 'line-color': colors.zone, 'line-width': ['match', ['get', 'kind'], 'line', 2.4, 1], 'line-dasharray': [6, 2, 1.5, 2] } },
    { id: 'zone-chosen', type: 'line', source: 'zonechosen', paint: { 'line-color': colors.accent, 'line-width': 3.5, 'line-opacity': 0.9 } },
  ];
}

export function draftLayers(colors: MapColors, scale: number): LayerSpecification[] {
  return [
    { id: 'draft-fill', type: 'fill', source: 'draft', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': colors.accent, 'fill-opacity': 0.14 } },
    { id: 'draft-band', type: 'line', source: 'draft', filter: ['==', ['get', 'kind'], 'corridor'], layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': colors.accent, 'line-width': onGround(), 'line-opacity': 0.2 } },
    { id: 'draft-line', type: 'line', source: 'draft', filter: ['==', ['geometry-type'], 'LineString'], paint: { 'line-color': colors.accent, 'line-width': 2.2, 'line-dasharray': [2.5, 1.5] } },
    {
      id: 'draft-corner',
      type: 'circle',
      source: 'draft',
      filter: ['==', ['geometry-type'], 'Point'],
      paint: { 'circle-radius': 6 * scale, 'circle-color': ['case', ['get', 'first'], colors.accent, colors.halo], 'circle-stroke-color': colors.accent, 'circle-stroke-width': 2.2 },
    },
  ];
}

/** Stripes and dots in a square that repeats. */
export function drawPatterns(colors: MapColors, ratio: number): Map<string, ImageData> {
  const side = 14;
  const square = (draw: (pen: CanvasRenderingContext2D) => void): ImageData => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = side * ratio;
    const pen = canvas.getContext('2d') as CanvasRenderingContext2D;
    pen.scale(ratio, ratio);
    draw(pen);
    return pen.getImageData(0, 0, canvas.width, canvas.height);
  };
  const stripes = square((pen) => {
    pen.strokeStyle = colors.bad;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (const shift of [-side, 0, side]) {
      pen.moveTo(shift - 2, side + 2);
      pen.lineTo(shift + side + 2, -2);
    }
    pen.stroke();
  });
  const dots = square((pen) => {
    pen.fillStyle = colors.zone;
    for (const [x, y] of [[side / 4, side / 4], [(3 * side) / 4, (3 * side) / 4]] as const) {
      pen.beginPath();
      pen.arc(x, y, 1.1, 0, 2 * Math.PI);
      pen.fill();
    }
  });
  return new Map([['zone-stripes', stripes], ['zone-dots', dots]]);
}
