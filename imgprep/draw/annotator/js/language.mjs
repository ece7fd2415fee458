// Texts in the project's language, as in imgprep/core/language.py: the English text is the key and the fallback.
const TABLE = new Map();

// Use a table of texts, sent by Python; a widget has one for all its displays.
export function useTexts(table) {
  for (const [english, text] of Object.entries(table || {})) TABLE.set(english, text);
}

// Return a text with its {names} filled in.
export function t(english, values = {}) {
  return (TABLE.get(english) ?? english).replace(/\{(\w+)\}/g, (name, key) => (key in values ? String(values[key]) : name));
}
