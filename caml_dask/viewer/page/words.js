// Numbers and names as people read them.

const UNITS = { nm: "nm", nm2: "nm²", nm3: "nm³", um2: "µm²", um3: "µm³", deg: "°" };
const NAMES = {
  n_localizations: "localizations", mean_nn_nm: "mean nearest neighbor", b_nm: "b", q_value: "q value",
};

/** The name of a column as a label, and its unit. */
export function labelled(column) {
  const [, name, per, suffix] = /^(.*?)(?:_(per))?(?:_(nm[23]?|um[23]|deg))?$/.exec(column);
  const unit = suffix ? (per ? `1/${UNITS[suffix]}` : UNITS[suffix]) : "";
  return { name: NAMES[column] ?? name.replaceAll("_", " "), unit };
}

/** A number with four digits that count, or all of a whole one. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(4);
}

/** A length in nm or um. */
export function length(nm) {
  return nm >= 1000 ? `${Number((nm / 1000).toPrecision(4))} µm` : `${Number(nm.toPrecision(4))} nm`;
}

/** An element with properties and children; texts become text, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}
