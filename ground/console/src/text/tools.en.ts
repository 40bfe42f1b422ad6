// English sentences of the map's tools: measuring, positions, the past, where cameras looked, live pictures.
export const toolsEn = {
  space: 'Space',
  measure: {
    open: 'Measure',
    title: 'Measure distance, bearing, area',
    hint: 'Click on the map, or set a point at the cross.',
    set: 'Set point',
    back: 'Take back',
    close: 'Close the ring',
    stop: 'Done',
    way: (length: string): string => `whole way ${length}`,
    area: (size: string): string => `area ${size}`,
  },
  position: {
    open: 'Position, go to',
    title: 'Position',
    goTo: 'Go to a position',
    go: 'Go',
    hint: 'Decimal degrees, degrees with minutes, MGRS or UTM. Latitude first.',
    odd: 'No position that could be read for certain.',
    readAs: (name: string): string => `Read as ${name}`,
    names: { decimal: 'Decimal', dms: 'Deg Min Sec', utm: 'UTM', mgrs: 'MGRS' },
    change: 'Change the notation of positions',
  },
  keys: [
    ['D', 'measure distance, bearing, area'],
    ['G', 'go to a position; every notation of the middle of the map'],
  ] as [string, string][],
};
