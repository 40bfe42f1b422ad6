// Draws the map's icons in the colours of the theme, from the same outlines as the lists use.
import { OUTLINES, type Glyph } from './glyphs';
import type { MapColors } from './colors';

interface Paint {
  glyph: Glyph;
  stroke: string;
  fill: string;
  width: number;
  dash?: number[];
  dot?: boolean;
  cross?: boolean;
  halo?: number;
  scale: number;
}

function contactPaints(colors: MapColors): Record<string, Paint> {
  const paints: Record<string, Paint> = {};
  for (const glyph of ['hull', 'plot', 'diamond', 'ring'] as const) {
    const base = { glyph, stroke: colors.contact, width: 2.4, scale: 0.92 };
    paints[`${glyph}-unreviewed`] = { ...base, fill: colors.contactFill };
    paints[`${glyph}-confirmed`] = { ...base, fill: colors.contact };
    paints[`${glyph}-more`] = { ...base, fill: colors.contactFill, dot: true };
    paints[`${glyph}-rejected`] = { ...base, stroke: colors.muted, fill: colors.halo, cross: true };
  }
  return paints;
}

function allPaints(colors: MapColors): Record<string, Paint> {
  const aircraft = { stroke: colors.halo, width: 1.6, halo: 1, scale: 1.25 };
  const stale = { stroke: colors.muted, fill: colors.halo, width: 2, scale: 1.2, dash: [3, 2.4] };
  const ais = { stroke: colors.ais, fill: colors.halo, width: 2, scale: 0.82 } as const;
  const track = { glyph: 'track', stroke: colors.track, width: 2.4, scale: 0.92 } as const;
  return {
    ...contactPaints(colors),
    aircraft: { ...aircraft, glyph: 'aircraft', fill: colors.platform },
    'aircraft-unknown': { ...aircraft, glyph: 'aircraft-unknown', fill: colors.platform, dot: true },
    'aircraft-stale': { ...stale, glyph: 'aircraft' },
    'aircraft-unknown-stale': { ...stale, glyph: 'aircraft-unknown', dot: true },
    'ais-vessel': { ...ais, glyph: 'ais-vessel' },
    'ais-vessel-flag': { ...ais, glyph: 'ais-vessel', dot: true },
    'ais-still': { ...ais, glyph: 'ais-still' },
    'ais-still-flag': { ...ais, glyph: 'ais-still', dot: true },
    'ais-station': { ...ais, glyph: 'track', dot: true },
    'silent-ring': { glyph: 'ring', stroke: colors.contact, fill: 'rgba(0, 0, 0, 0)', width: 1.5, halo: 1, scale: 1.95, dash: [3.4, 2.6] },
    'track-tentative': { ...track, fill: colors.halo, dash: [2.2, 2], width: 2 },
    'track-confirmed': { ...track, fill: colors.track },
    'track-coasting': { ...track, fill: colors.halo },
  };
}

function draw(paint: Paint, colors: MapColors, ratio: number): ImageData {
  const side = Math.ceil(24 * paint.scale + 4);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side * ratio;
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D;
  pen.scale(ratio, ratio);
  pen.translate(side / 2 - 12 * paint.scale, side / 2 - 12 * paint.scale);
  pen.scale(paint.scale, paint.scale);
  pen.lineJoin = 'round';
  const outline = new Path2D(OUTLINES[paint.glyph]);
  pen.strokeStyle = colors.halo;
  pen.lineWidth = paint.width + (paint.halo ?? 3);
  pen.stroke(outline);
  pen.fillStyle = paint.fill;
  pen.fill(outline);
  pen.strokeStyle = paint.stroke;
  pen.lineWidth = paint.width;
  pen.setLineDash(paint.dash ?? []);
  pen.stroke(outline);
  pen.setLineDash([]);
  if (paint.dot) {
    pen.fillStyle = paint.stroke;
    pen.beginPath();
    pen.arc(12, 12, 2.6, 0, 2 * Math.PI);
    pen.fill();
  }
  if (paint.cross) {
    pen.beginPath();
    pen.moveTo(8, 8);
    pen.lineTo(16, 16);
    pen.moveTo(16, 8);
    pen.lineTo(8, 16);
    pen.stroke();
  }
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** All icons by name, for a screen of `ratio` device pixels per pixel. */
export function drawIcons(colors: MapColors, ratio: number): Map<string, ImageData> {
  return new Map(Object.entries(allPaints(colors)).map(([name, paint]) => [name, draw(paint, colors, ratio)]));
}
