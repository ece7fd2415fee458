// Return what a reader of a panel cannot read: texts of too little contrast, and what is cut off at the side.
(root) => {
  const problems = [];
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (text) => { // any notation, color-mix() included, as the browser paints it
    if (!known.has(text)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = text;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const contrast = (element) => {
    const below = ground(element);
    let [r, g, b, a] = rgba(getComputedStyle(element).color);
    for (let one = element; one; one = one.parentElement) a *= Number(getComputedStyle(one).opacity);
    const [high, low] = [luminance(over([r, g, b, a], below)), luminance(below)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length;
  const name = (element) => `${element.tagName.toLowerCase()}.${element.className}: ${(element.value || element.textContent).trim().slice(0, 40)}`;
  for (const element of root.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const field = element.matches("input, select, textarea") && element.type !== "checkbox";
    if ((own || field) && seen(element) && !element.matches("style, option, :disabled, :disabled *, .ipr-spoken")) {
      const ratio = contrast(element);
      if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${name(element)}`);
    }
  }
  for (const element of [root, ...root.querySelectorAll("*")]) {
    const style = getComputedStyle(element);
    const shortened = style.textOverflow === "ellipsis" && !element.matches("button");
    if (style.overflowX === "visible" || shortened || !seen(element)) continue;
    if (element.matches("input, select, textarea, canvas, .ipr-spoken, .imgprep-wide")) continue;
    if (element.scrollWidth > element.clientWidth + 1) problems.push(`cut off by ${element.scrollWidth - element.clientWidth} px: ${name(element)}`);
  }
  return [...new Set(problems)];
}
