// Checks that the GameMaker project of the sample opens without repair: every .yy and .yyp
// parses as its type and is laid out as the IDE lays it out, every reference leads to a file,
// and no file is left out; or the same of an unpacked local package, which has no rooms, no options and a layout
// of its own. Needs @bscotch/yy:
//
//   npm install --prefix DIR @bscotch/yy@2.7.0
//   node compat-tests/gml/check-project.mjs gml-client-sample DIR

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [project, modules] = process.argv.slice(2);
const { Yy } = await import(pathToFileURL(join(modules, 'node_modules/@bscotch/yy/dist/index.js')));
const isPackage = existsSync(join(project, 'metadata.json'));
let files = 0;
let problems = 0;

function expect(truth, text) {
  if (!truth) {
    problems += 1;
    console.error(`problem: ${text}`);
  }
  return truth;
}

function read(path, schema) {
  if (!expect(existsSync(join(project, path)), `${path} is referred to but missing`)) return undefined;
  files += 1;
  const text = readFileSync(join(project, path), 'utf8');
  try {
    const loose = Yy.parse(text);
    const name = loose.name;
    expect(loose['%Name'] === name, `${path}: %Name and name differ`);
    expect(typeof loose[`$${loose.resourceType}`] === 'string', `${path}: no $${loose.resourceType}`);
    expect(loose.resourceVersion === '2.0', `${path}: resourceVersion is not 2.0`);
    // Yy writes 1.0 as 1.
    expect(isPackage || Yy.stringify(loose).trim() === text.trim().replace(/(:-?\d+)\.0\b/g, '$1'), `${path} is not laid out as the IDE does it`);
    if (schema) Yy.parse(text, schema);
    return loose;
  } catch (error) {
    expect(false, `${path}: ${error.message}`);
    return undefined;
  }
}

// The first part of an event file's name, by eventType.
const eventFiles = ['Create', 'Destroy', 'Alarm', 'Step', 'Collision', 'Keyboard', 'Mouse', 'Other', 'Draw',
  'KeyPress', 'KeyRelease', 'Trigger', 'CleanUp', 'Gesture', 'PreCreate'];

const yyps = readdirSync(project).filter((name) => name.endsWith('.yyp'));
expect(yyps.length === 1, `${yyps.length} .yyp files`);
const yyp = read(yyps[0], 'project');
expect(`${yyp.name}.yyp` === yyps[0], 'the .yyp file is not named after the project');
const folders = new Set(yyp.Folders.map((folder) => folder.folderPath));
const resources = new Map(yyp.resources.map(({ id }) => [id.path, id.name]));

for (const [path, name] of resources) {
  const type = path.split('/')[0];
  expect(path === `${type}/${name}/${name}.yy`, `${path} is not where ${name} has to be`);
  const yy = read(path, type);
  if (!yy) continue;
  expect(yy.name === name, `${path} is named ${yy.name}`);
  expect(folders.has(yy.parent.path) || yy.parent.path === yyps[0], `${path}: no folder ${yy.parent.path}`);

  const code = new Set(readdirSync(join(project, dirname(path))).filter((file) => file.endsWith('.gml')));
  if (type === 'scripts') {
    expect(code.delete(`${name}.gml`), `${path} has no ${name}.gml`);
  }
  for (const event of yy.eventList ?? []) {
    const file = `${eventFiles[event.eventType]}_${event.eventNum}.gml`;
    expect(code.delete(file), `${path} has no ${file}`);
  }
  for (const key of ['spriteId', 'spriteMaskId', 'parentObjectId']) {
    expect(!yy[key] || resources.has(yy[key].path), `${path}: ${key} leads nowhere`);
  }
  const instances = (yy.layers ?? []).flatMap((layer) => layer.instances ?? []);
  for (const instance of instances) {
    expect(resources.has(instance.objectId.path), `${path}: instance ${instance.name} is of no object`);
  }
  if (type === 'rooms') {
    const order = yy.instanceCreationOrder.map((entry) => entry.name).sort().join();
    expect(order === instances.map((instance) => instance.name).sort().join(), `${path}: creation order and instances differ`);
  }
  expect(code.size === 0, `${path} does not mention ${[...code].join(', ')}`);
}

const rooms = yyp.RoomOrderNodes.map(({ roomId }) => roomId.path);
expect((isPackage || rooms.length > 0) && rooms.every((path) => resources.has(path)), 'the room order leads nowhere');

for (const type of ['objects', 'rooms', 'scripts'].filter((type) => existsSync(join(project, type)))) {
  for (const name of readdirSync(join(project, type))) {
    expect(resources.has(`${type}/${name}/${name}.yy`), `${type}/${name} is not listed in the .yyp`);
  }
}

if (!isPackage) {
  for (const platform of ['main', 'windows', 'mac', 'linux']) {
    read(`options/${platform}/options_${platform}.yy`);
  }
  const guid = read('options/main/options_main.yy')?.option_gameguid;
  expect(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid), 'options_main.yy has no game GUID');
} else {
  const { package_id, display_name, version } = JSON.parse(readFileSync(join(project, 'metadata.json')));
  const { PackageID, PackageName, PackageVersion } = yyp.MetaData;
  expect([package_id, display_name, version].join() === [PackageID, PackageName, PackageVersion].join(), 'metadata.json and .yyp differ');
}

console.log(`${basename(project)}: ${files} files read, ${problems} problems`);
process.exit(problems ? 1 : 0);
