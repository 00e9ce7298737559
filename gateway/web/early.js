// early.js - before anything is drawn: the chosen colours, so that a dark page never flashes white.
try {
  const theme = localStorage.getItem('quire-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // storage is forbidden: as the system has it
}
