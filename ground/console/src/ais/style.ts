// The map's layers of AIS, of the rings round silent contacts and of old sightings.
import type { LayerSpecification } from 'maplibre-gl';
import type { MapColors } from '../map/colors';

export const AIS_LAYERS = ['ais-mark', 'ais-label'];
export const PLACE_LAYERS = ['place-dot'];
/** Up to this many vessels show their names at any zoom; with more only from this zoom on. */
export const NAMED = 150;
export const NAMES_ZOOM = 11;

export function placeLayers(colors: MapColors): LayerSpecification[] {
  return [
    {
      id: 'place-dot',
      type: 'circle',
      source: 'places',
      paint: { 'circle-radius': ['interpolate', ['linear'], ['zoom'], 6, 1.2, 16, 3], 'circle-color': colors.contact, 'circle-opacity': 0.45 },
    },
  ];
}

export function aisTrackLayers(colors: MapColors): LayerSpecification[] {
  return [
    { id: 'ais-track', type: 'line', source: 'aistracks', layout: { 'line-join': 'round' }, paint: { 'line-color': colors.ais, 'line-width': 1.8, 'line-dasharray': [1, 1.6], 'line-opacity': 0.9 } },
  ];
}

export function aisMarkLayers(colors: MapColors, scale: number, font: string[]): LayerSpecification[] {
  const faded = ['case', ['get', 'stale'], 0.4, 1] as never;
  return [
    {
      id: 'silent-ring',
      type: 'symbol',
      source: 'silent',
      layout: { 'icon-image': 'silent-ring', 'icon-allow-overlap': true, 'icon-ignore-placement': true, 'icon-size': scale },
    },
    {
      id: 'ais-label',
      type: 'symbol',
      source: 'ais',
      layout: {
        'text-field': ['get', 'label'],
        'text-font': font,
        'text-size': 11 * scale,
        'text-variable-anchor': ['left', 'right', 'top', 'bottom'],
        'text-radial-offset': 1.1,
        'text-justify': 'auto',
        'text-padding': 1,
      },
      paint: { 'text-color': colors.ais, 'text-halo-color': colors.halo, 'text-halo-width': 1.5, 'text-opacity': faded },
    },
    {
      id: 'ais-mark',
      type: 'symbol',
      source: 'ais',
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-rotate': ['get', 'heading'],
        'icon-rotation-alignment': 'map',
        'icon-allow-overlap': true,
        'icon-ignore-placement': true,
        'icon-size': scale,
        'symbol-sort-key': ['get', 'weight'],
      },
      paint: { 'icon-opacity': faded },
    },
  ];
}
