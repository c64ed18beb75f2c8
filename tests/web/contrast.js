// The texts of a page that differ from their ground by less than 4.5:1, as a list; see looks.rs.
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  const ground = (element) => {
    if (!element) return rgba(matchMedia("(prefers-color-scheme: dark)").matches ? "#000" : "#fff");
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const back = ground(element);
    const contrast = ratio(over(rgba(style.color), back), back);
    if (contrast < 4.5) faint.add(`${texts.currentNode.data.trim()} (${element.tagName} ${element.className}): ${contrast.toFixed(2)}`);
  }
  for (const field of document.querySelectorAll("input[placeholder]")) {
    const back = ground(field);
    const contrast = ratio(over(rgba(getComputedStyle(field, "::placeholder").color), back), back);
    if (contrast < 4.5) faint.add(`placeholder ${field.placeholder}: ${contrast.toFixed(2)}`);
  }
  return [...faint];
})();
