// Sets the chosen theme before the first paint; a file of its own because the page allows no inline script.
try {
  const theme = JSON.parse(localStorage.getItem('skywarden.preferences') ?? '{}').theme;
  if (theme === 'light' || theme === 'dark' || theme === 'night') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's choice holds.
}
