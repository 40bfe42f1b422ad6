// Shapes, shared by the map's icons, the lists and the legend. Every meaning has its own outline, so that colour is never alone.
export type Glyph = 'hull' | 'plot' | 'diamond' | 'ring' | 'aircraft' | 'aircraft-unknown' | 'track' | 'ais-vessel' | 'ais-still';

/** Outlines in a box of 24 by 24. */
export const OUTLINES: Record<Glyph, string> = {
  // Seen from the side and symmetric: from above it would seem to say which way the vessel heads.
  hull: 'M2.6 13H8V5.4H16V13H21.4L18 20.2H6Z',
  plot: 'M5.6 4.4H18.4Q19.6 4.4 19.6 5.6V18.4Q19.6 19.6 18.4 19.6H5.6Q4.4 19.6 4.4 18.4V5.6Q4.4 4.4 5.6 4.4Z',
  diamond: 'M12 2.8L21.2 12L12 21.2L2.8 12Z',
  ring: 'M12 4A8 8 0 1 1 12 20A8 8 0 1 1 12 4Z',
  aircraft: 'M12 2.2L20 20.6L12 16.4L4 20.6Z',
  'aircraft-unknown': 'M12 4.5A7.5 7.5 0 1 1 12 19.5A7.5 7.5 0 1 1 12 4.5Z',
  // A hull from above, bow ahead: on AIS the heading is told.
  'ais-vessel': 'M12 2.5L17.2 9V20.5H6.8V9Z',
  'ais-still': 'M12 6.5L17.5 12L12 17.5L6.5 12Z',
  track: 'M12 7A5 5 0 1 1 12 17A5 5 0 1 1 12 7Z',
};

const VESSEL = /vessel|boat|ship/i;
const PLOT = /plot|field|crop|cultivation/i;
const ANOMALY = /anomaly|panel/i;

/** The outline of a contact with this label; what is not known gets a plain ring. */
export function contactGlyph(label: string): 'hull' | 'plot' | 'diamond' | 'ring' {
  if (VESSEL.test(label)) return 'hull';
  if (PLOT.test(label)) return 'plot';
  return ANOMALY.test(label) ? 'diamond' : 'ring';
}
