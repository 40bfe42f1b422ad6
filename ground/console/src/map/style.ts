// The map's style: sources, layers and their order, for one theme. Nothing in it has an address outside the ground.
import type { LayerSpecification, SourceSpecification, StyleSpecification } from 'maplibre-gl';
import type { MapLayer } from '../api/types';
import type { Overlay } from '../state/preferences.svelte';
import { AIS_LAYERS, aisMarkLayers, aisTrackLayers, PLACE_LAYERS, placeLayers } from '../ais/style';
import { draftLayers, ZONE_LAYERS, zoneSurfaceLayers } from '../zones/style';
import type { MapColors } from './colors';

/** Sources that the page fills; `lineMetrics` lets trails fade. */
export const SOURCES = [
  'graticule',
  'zones',
  'zonechosen',
  'places',
  'plots',
  'footprints',
  'uncertainty',
  'wedges',
  'trails',
  'tracklines',
  'vectors',
  'sightlines',
  'aistracks',
  'ais',
  'silent',
  'tracks',
  'contacts',
  'platforms',
  'selected',
  'draft',
] as const;
export type SourceName = (typeof SOURCES)[number];

/** Which layers each switch of the legend turns on and off. */
export const OVERLAY_LAYERS: Record<Overlay, string[]> = {
  plots: ['plot-fill', 'plot-line', 'plot-line-open', 'plot-label'],
  footprints: ['footprint-fill', 'footprint-line', 'sightline', 'sight-cross'],
  trails: ['trail', 'trail-stale', 'track-trail'],
  uncertainty: ['uncertainty-fill', 'uncertainty-line'],
  tracks: ['track-trail', 'track-vector', 'track-mark'],
  graticule: ['graticule'],
  zones: ZONE_LAYERS,
  ais: AIS_LAYERS,
  places: PLACE_LAYERS,
  labels: ['contact-label', 'wedge-label', 'track-label', 'platform-label', 'zone-label', 'ais-label'],
};

export const CLICKABLE = ['contact-mark', 'wedge-fill', 'track-mark', 'platform-mark', 'ais-mark', 'plot-fill'];

const FONT = ['Inter Variable', 'system-ui', 'sans-serif'];
const EMPTY: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] };

/** Marks and names grow with the page's type on large screens (styles/tokens.css). */
function enlargement(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
}

function faded(color: string, percent: number): string {
  const hex = color.replace('#', '');
  const part = (at: number): number => parseInt(hex.slice(at, at + 2), 16);
  return `rgba(${part(0)}, ${part(2)}, ${part(4)}, ${percent / 100})`;
}

function agencySources(layers: MapLayer[]): Record<string, SourceSpecification> {
  return Object.fromEntries(
    layers.map((layer) => [`agency:${layer.name}`, agencySource(layer)]),
  );
}

function agencySource(layer: MapLayer): SourceSpecification {
  if (layer.kind === 'geojson') return { type: 'geojson', data: layer.url };
  if (layer.kind === 'image') return { type: 'image', url: layer.url, coordinates: layer.coordinates as NonNullable<MapLayer['coordinates']> };
  const url = `pmtiles://${layer.url}`;
  if (layer.style.tiles === 'terrain') return { type: 'raster-dem', url, tileSize: 256, encoding: 'terrarium' };
  return layer.style.tiles === 'raster' ? { type: 'raster', url, tileSize: 256 } : { type: 'vector', url };
}

/** The layers of shapes in one file of vector tiles, each drawn as a GeoJSON layer would be. */
function vectorTileLayers(layer: MapLayer, paint: (layer: MapLayer) => LayerSpecification[]): LayerSpecification[] {
  return layer.style.layers.flatMap((name) =>
    paint(layer).map((made) => ({ ...made, id: `${made.id}:${name}`, 'source-layer': name }) as LayerSpecification),
  );
}

/** Relief in the colours of the theme: shade where slopes turn away from the north-west, light where they face it. */
function reliefLayer(layer: MapLayer, colors: MapColors, isDark: boolean): LayerSpecification {
  const source = `agency:${layer.name}`;
  return {
    id: source,
    type: 'hillshade',
    source,
    paint: {
      'hillshade-exaggeration': 0.55 * (layer.style.opacity ?? 1),
      'hillshade-shadow-color': isDark ? colors.halo : colors.muted,
      'hillshade-highlight-color': isDark ? colors.landLine : colors.halo,
      'hillshade-accent-color': isDark ? colors.halo : colors.muted,
    },
  };
}

function imageLayer(layer: MapLayer, isDark: boolean): LayerSpecification[] {
  const isShade = layer.style.role === 'hillshade' || /hillshade|relief|terrain/i.test(layer.name);
  const opacity = layer.style.opacity ?? (isShade ? (isDark ? 0.5 : 0.55) : 1);
  return [
    {
      id: `agency:${layer.name}`,
      type: 'raster',
      source: `agency:${layer.name}`,
      paint: {
        'raster-opacity': opacity,
        'raster-fade-duration': 0,
        'raster-brightness-max': isDark ? 0.42 : 1,
        'raster-saturation': isShade ? -0.6 : isDark ? -0.2 : 0,
      },
    },
  ];
}

function geojsonLayers(layer: MapLayer, colors: MapColors): LayerSpecification[] {
  const source = `agency:${layer.name}`;
  const { role, color, fill_opacity, line_width, opacity } = layer.style;
  const fill = color ?? (role === 'water' ? colors.water : colors.land);
  const stroke = color ?? (role === 'line' ? colors.muted : colors.landLine);
  const common = opacity ?? 1;
  return [
    {
      id: `${source}:fill`,
      type: 'fill',
      source,
      filter: ['==', ['geometry-type'], 'Polygon'],
      paint: { 'fill-color': fill, 'fill-opacity': (fill_opacity ?? (color ? 0.2 : 1)) * common },
    },
    {
      id: `${source}:line`,
      type: 'line',
      source,
      filter: ['!=', ['geometry-type'], 'Point'],
      layout: { 'line-join': 'round' },
      paint: { 'line-color': stroke, 'line-width': line_width ?? 1, 'line-opacity': common },
    },
  ];
}

/** Points and names of a layer, above pictures such as shaded relief. */
function nameLayers(layer: MapLayer, colors: MapColors): LayerSpecification[] {
  const source = `agency:${layer.name}`;
  const common = layer.style.opacity ?? 1;
  const stroke = layer.style.color ?? colors.muted;
  return [
    {
      id: `${source}:point`,
      type: 'circle',
      source,
      filter: ['==', ['geometry-type'], 'Point'],
      paint: { 'circle-radius': 2.5, 'circle-color': stroke, 'circle-opacity': common },
    },
    {
      id: `${source}:name`,
      type: 'symbol',
      source,
      filter: ['all', ['has', 'name'], ['==', ['geometry-type'], 'Point']],
      layout: {
        'text-field': ['to-string', ['get', 'name']],
        'text-font': FONT,
        'text-size': 11 * enlargement(),
        'text-variable-anchor': ['left', 'right', 'top', 'bottom'],
        'text-radial-offset': 0.6,
      },
      paint: { 'text-color': colors.muted, 'text-halo-color': colors.halo, 'text-halo-width': 1.2 },
    },
  ];
}

function label(id: string, source: SourceName, field: unknown, colors: MapColors, extra: object = {}): LayerSpecification {
  return {
    id,
    type: 'symbol',
    source,
    layout: {
      'text-field': field,
      'text-font': FONT,
      'text-size': 12 * enlargement(),
      'text-max-width': 14,
      'text-padding': 1,
      ...extra,
    },
    paint: { 'text-color': colors.ink, 'text-halo-color': colors.halo, 'text-halo-width': 1.6, 'text-halo-blur': 0.4 },
  } as LayerSpecification;
}

const DIMMED = ['case', ['boolean', ['get', 'stale'], false], 0.45, 1] as never;

function surfaceLayers(colors: MapColors): LayerSpecification[] {
  const stale = ['boolean', ['get', 'stale'], false] as never;
  const platformOrMuted = ['case', stale, colors.muted, colors.platform] as never;
  return [
    { id: 'graticule', type: 'line', source: 'graticule', paint: { 'line-color': colors.grid, 'line-width': 1 } },
    ...zoneSurfaceLayers(colors),
    ...placeLayers(colors),
    {
      id: 'plot-fill',
      type: 'fill',
      source: 'plots',
      paint: { 'fill-color': colors.contact, 'fill-opacity': 0.16 },
    },
    {
      id: 'plot-line',
      type: 'line',
      source: 'plots',
      filter: ['boolean', ['get', 'complete'], true],
      paint: { 'line-color': colors.contact, 'line-width': 1.8 },
    },
    {
      id: 'plot-line-open',
      type: 'line',
      source: 'plots',
      filter: ['!', ['boolean', ['get', 'complete'], true]],
      paint: { 'line-color': colors.contact, 'line-width': 1.8, 'line-dasharray': [3, 2] },
    },
    {
      id: 'footprint-fill',
      type: 'fill',
      source: 'footprints',
      paint: { 'fill-color': platformOrMuted, 'fill-opacity': ['case', stale, 0.04, 0.1] as never },
    },
    {
      id: 'footprint-line',
      type: 'line',
      source: 'footprints',
      paint: { 'line-color': platformOrMuted, 'line-width': 1.25, 'line-opacity': 0.75 },
    },
    {
      id: 'uncertainty-fill',
      type: 'fill',
      source: 'uncertainty',
      paint: { 'fill-color': colors.contact, 'fill-opacity': 0.1 },
    },
    {
      id: 'uncertainty-line',
      type: 'line',
      source: 'uncertainty',
      paint: { 'line-color': colors.contact, 'line-width': 1.2, 'line-opacity': 0.75 },
    },
    {
      id: 'wedge-fill',
      type: 'fill',
      source: 'wedges',
      filter: ['==', ['geometry-type'], 'Polygon'],
      paint: {
        'fill-color': colors.contact,
        'fill-opacity': ['interpolate', ['linear'], ['get', 'step'], 0, 0.2, 3, 0.04],
        'fill-antialias': false,
      },
    },
    {
      id: 'wedge-axis',
      type: 'line',
      source: 'wedges',
      filter: ['==', ['geometry-type'], 'LineString'],
      paint: { 'line-color': colors.contact, 'line-width': 1.4, 'line-dasharray': [3, 3], 'line-opacity': 0.9 },
    },
  ];
}

function motionLayers(colors: MapColors): LayerSpecification[] {
  const contactOrTrack = ['case', ['boolean', ['get', 'contact'], false], colors.contact, colors.track] as never;
  const round = { 'line-cap': 'round', 'line-join': 'round' } as const;
  return [
    ...aisTrackLayers(colors),
    {
      id: 'trail',
      type: 'line',
      source: 'trails',
      filter: ['!', ['boolean', ['get', 'stale'], false]],
      layout: round,
      paint: {
        'line-width': 2,
        'line-gradient': [
          'interpolate',
          ['linear'],
          ['line-progress'],
          0,
          faded(colors.platform, 8),
          1,
          faded(colors.platform, 85),
        ],
      },
    },
    {
      id: 'trail-stale',
      type: 'line',
      source: 'trails',
      filter: ['boolean', ['get', 'stale'], false],
      layout: round,
      paint: { 'line-width': 1.5, 'line-color': faded(colors.muted, 60) },
    },
    {
      id: 'sightline',
      type: 'line',
      source: 'sightlines',
      filter: ['==', ['geometry-type'], 'LineString'],
      paint: { 'line-color': colors.platform, 'line-width': 1, 'line-dasharray': [2, 3], 'line-opacity': DIMMED },
    },
    {
      id: 'sight-cross',
      type: 'circle',
      source: 'sightlines',
      filter: ['==', ['geometry-type'], 'Point'],
      paint: {
        'circle-radius': 2.6,
        'circle-color': colors.halo,
        'circle-stroke-color': colors.platform,
        'circle-stroke-width': 1.4,
        'circle-stroke-opacity': DIMMED,
      },
    },
    {
      id: 'track-trail',
      type: 'line',
      source: 'tracklines',
      filter: ['==', ['get', 'part'], 'trail'],
      layout: round,
      paint: { 'line-color': contactOrTrack, 'line-width': 1.5, 'line-opacity': 0.5 },
    },
    {
      id: 'track-vector',
      type: 'line',
      source: 'tracklines',
      filter: ['all', ['==', ['get', 'part'], 'vector'], ['!', ['get', 'contact']]],
      paint: { 'line-color': contactOrTrack, 'line-width': 2, 'line-opacity': DIMMED },
    },
    { id: 'contact-vector', type: 'line', source: 'vectors', paint: { 'line-color': colors.contact, 'line-width': 2 } },
  ];
}

function markLayers(colors: MapColors): LayerSpecification[] {
  const always = { 'icon-allow-overlap': true, 'icon-padding': 0, 'icon-size': enlargement() } as const;
  return [
    {
      id: 'selected-area-fill',
      type: 'fill',
      source: 'selected',
      filter: ['==', ['geometry-type'], 'Polygon'],
      paint: { 'fill-color': colors.accent, 'fill-opacity': 0.12 },
    },
    {
      id: 'selected-area',
      type: 'line',
      source: 'selected',
      filter: ['all', ['!=', ['geometry-type'], 'Point'], ['!', ['has', 'open']]],
      paint: { 'line-color': colors.accent, 'line-width': 2 },
    },
    {
      id: 'selected-ring',
      type: 'circle',
      source: 'selected',
      filter: ['==', ['geometry-type'], 'Point'],
      paint: {
        'circle-radius': 18 * enlargement(),
        'circle-color': 'rgba(0,0,0,0)',
        'circle-stroke-color': colors.accent,
        'circle-stroke-width': 2.5,
      },
    },
    ...aisMarkLayers(colors, enlargement(), FONT),
    {
      id: 'track-mark',
      type: 'symbol',
      source: 'tracks',
      layout: { 'icon-image': ['get', 'icon'], ...always },
      paint: { 'icon-opacity': DIMMED },
    },
    {
      id: 'contact-mark',
      type: 'symbol',
      source: 'contacts',
      layout: { 'icon-image': ['get', 'icon'], 'symbol-sort-key': ['get', 'score'], ...always },
    },
    {
      id: 'platform-mark',
      type: 'symbol',
      source: 'platforms',
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-rotate': ['get', 'heading'],
        'icon-rotation-alignment': 'map',
        ...always,
      },
    },
    // On top and never left out: a platform without its name is worse than a crowded corner.
    label('platform-label', 'platforms', ['get', 'label'], colors, {
      'text-variable-anchor': ['top', 'bottom', 'right', 'left'],
      'text-radial-offset': 1.6,
      'text-size': 12.5 * enlargement(),
      'text-font': ['Inter Variable Semibold', ...FONT],
      'text-allow-overlap': true,
    }),
  ];
}

/** Labels lie below the marks: MapLibre places from the top down, so labels give way to marks and not the reverse. */
function labelLayers(colors: MapColors): LayerSpecification[] {
  const besides = {
    'text-variable-anchor': ['left', 'right', 'top', 'bottom'],
    'text-justify': 'auto',
  };
  return [
    { ...label('track-label', 'tracks', ['get', 'label'], colors, { ...besides, 'text-radial-offset': 0.9, 'text-size': 11 * enlargement() }), minzoom: 14 } as LayerSpecification,
    { ...label('plot-label', 'plots', ['get', 'label'], colors, { 'text-size': 11 * enlargement() }), minzoom: 13 } as LayerSpecification,
    label('zone-label', 'zones', ['get', 'label'], colors, { 'text-size': 11 * enlargement(), 'text-max-width': 10 }),
    label('wedge-label', 'wedges', ['get', 'label'], colors, { 'symbol-placement': 'line', 'text-offset': [0, -0.8] }),
    label('contact-label', 'contacts', ['get', 'label'], colors, { ...besides, 'text-radial-offset': 1.6 }),
  ];
}

/** The whole style: agency layers at the bottom, then areas, lines, marks and labels. */
export function buildStyle(layers: MapLayer[], colors: MapColors, isDark: boolean): StyleSpecification {
  const own: Record<string, SourceSpecification> = {};
  for (const name of SOURCES) {
    own[name] = { type: 'geojson', data: EMPTY, promoteId: 'id', maxzoom: 18, lineMetrics: name === 'trails' };
  }
  const images = layers.filter((layer) => layer.kind === 'image');
  const shapes = layers.filter((layer) => layer.kind === 'geojson');
  const tiles = layers.filter((layer) => layer.kind === 'tiles');
  const pictures = tiles.filter((layer) => layer.style.tiles === 'raster');
  const drawn = tiles.filter((layer) => layer.style.tiles === 'vector');
  const reliefs = tiles.filter((layer) => layer.style.tiles === 'terrain');
  return {
    version: 8,
    sources: { ...agencySources(layers), ...own },
    layers: [
      { id: 'background', type: 'background', paint: { 'background-color': colors.background } },
      ...pictures.flatMap((layer) => imageLayer(layer, isDark)),
      ...drawn.flatMap((layer) => vectorTileLayers(layer, (one) => geojsonLayers(one, colors))),
      ...shapes.filter((layer) => layer.style.role !== 'line').flatMap((layer) => geojsonLayers(layer, colors)),
      ...images.flatMap((layer) => imageLayer(layer, isDark)),
      ...reliefs.map((layer) => reliefLayer(layer, colors, isDark)),
      ...shapes.filter((layer) => layer.style.role === 'line').flatMap((layer) => geojsonLayers(layer, colors)),
      ...surfaceLayers(colors),
      ...motionLayers(colors),
      ...drawn.flatMap((layer) => vectorTileLayers(layer, (one) => nameLayers(one, colors))),
      ...shapes.flatMap((layer) => nameLayers(layer, colors)),
      ...labelLayers(colors),
      ...markLayers(colors),
      ...draftLayers(colors, enlargement()),
    ],
  };
}
