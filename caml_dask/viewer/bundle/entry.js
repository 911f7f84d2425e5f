// What the viewer uses of OpenLayers; `make.sh` bundles it, and nothing else, to page/vendor/ol.js.
export { default as Feature } from "ol/Feature.js";
export { default as Map } from "ol/Map.js";
export { default as View } from "ol/View.js";
export { defaults as interactions } from "ol/interaction/defaults.js";
export { default as MultiPolygon } from "ol/geom/MultiPolygon.js";
export { default as ImageLayer } from "ol/layer/Image.js";
export { default as TileLayer } from "ol/layer/Tile.js";
export { default as VectorLayer } from "ol/layer/Vector.js";
export { default as Projection } from "ol/proj/Projection.js";
export { default as ImageCanvasSource } from "ol/source/ImageCanvas.js";
export { default as ImageTileSource } from "ol/source/ImageTile.js";
export { default as VectorSource } from "ol/source/Vector.js";
export { default as Fill } from "ol/style/Fill.js";
export { default as Stroke } from "ol/style/Stroke.js";
export { default as Style } from "ol/style/Style.js";
export { default as TileGrid } from "ol/tilegrid/TileGrid.js";
