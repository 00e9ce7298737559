// pictures.js - what people drop, paste or choose becomes JPEG or PNG of a size that models can use.
//
// A JPEG or PNG that is small enough is sent as it is, byte for byte: the pool knows pictures by
// their bytes, and the same file in another conversation is then found again.

export const LONGEST_SIDE = 2048; // pixels
const FILE_BYTES = 64 << 20;
const JPEG_QUALITY = 0.92;

const kept = new Set(['image/jpeg', 'image/png']);

async function read(file) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function draw(image, width, height, type) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, width, height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no blob'))), type, JPEG_QUALITY));
}

/** {blob, name, width, height, note}, or an Error with a sentence. */
export async function prepare(file) {
  const name = file.name || 'picture';
  if (file.size > FILE_BYTES) throw new Error(`“${name}” is larger than 64 MiB.`);
  let image;
  try {
    image = await read(file);
  } catch {
    throw new Error(`“${name}” is not a picture that this browser can read.`);
  }
  // A drawing without a size of its own (SVG) gets a useful one.
  const own = { width: image.naturalWidth || 1024, height: image.naturalHeight || 1024 };
  const scale = Math.min(1, LONGEST_SIDE / Math.max(own.width, own.height));
  const width = Math.max(1, Math.round(own.width * scale));
  const height = Math.max(1, Math.round(own.height * scale));
  if (scale === 1 && kept.has(file.type)) return { blob: file, name, width, height, note: '' };
  try {
    const type = file.type === 'image/jpeg' ? file.type : 'image/png';
    const blob = await draw(image, width, height, type);
    const notes = [];
    if (scale < 1) notes.push(`scaled from ${own.width} × ${own.height} to ${width} × ${height}`);
    if (!kept.has(file.type)) notes.push('converted to PNG');
    return { blob, name, width, height, note: notes.join(', ') };
  } catch {
    throw new Error(`“${name}” could not be converted.`);
  }
}

/** The picture files in a drop or a paste. */
export const filesIn = (transfer) =>
  [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));

/** "data:image/png;base64,..." */
export const dataUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
