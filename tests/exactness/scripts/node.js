// node.js FOLDER: files, workers, children, a server on a Unix socket, compression, timers
const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const zlib = require('node:zlib');
const { Worker } = require('node:worker_threads');

const folder = process.argv[2];

function ended(emitter, event) {
	return new Promise((resolve, reject) => emitter.on(event, resolve).on('error', reject));
}

async function main() {
	const file = path.join(folder, 'file');
	await fs.promises.writeFile(file, crypto.randomBytes(10000).toString('hex'));
	await Promise.all([...Array(8).keys()].map((i) => fs.promises.copyFile(file, file + i)));
	console.log((await fs.promises.readdir(folder)).length);
	console.log(zlib.gunzipSync(zlib.gzipSync(fs.readFileSync(file))).length);
	console.log(execFileSync('echo', ['child']).toString().trim());
	const sleeper = spawn('sleep', ['30']);
	sleeper.kill('SIGTERM');
	await ended(sleeper, 'close');
	console.log(sleeper.signalCode);
	const worker = new Worker('require("node:worker_threads").parentPort.postMessage(6 * 7)', { eval: true });
	console.log(await ended(worker, 'message'));
	await worker.terminate();
	const server = http.createServer((request, response) => response.end(request.url));
	await new Promise((resolve) => server.listen(path.join(folder, 'socket'), resolve));
	const answers = [...Array(10).keys()].map((i) => new Promise((resolve) => {
		http.get({ socketPath: path.join(folder, 'socket'), path: '/' + i }, (answer) => {
			answer.resume().on('end', () => resolve(answer.statusCode));
		});
	}));
	console.log((await Promise.all(answers)).join(' '));
	server.close();
	await new Promise((resolve) => setTimeout(resolve, 5));
	await new Promise((resolve) => crypto.pbkdf2('word', 'salt', 1000, 32, 'sha256', resolve));
}

main().then(() => console.log('end'));
