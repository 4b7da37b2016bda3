// Promises on files, an HTTP server and its clients, a child, zlib and a worker thread. Status 8.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs/promises');
const http = require('http');
const os = require('os');
const path = require('path');
const zlib = require('zlib');
const { Worker } = require('worker_threads');
const readline = require('readline');

process.on('SIGUSR2', () => console.log('signal'));

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function waitForLine(said) {
	console.log(said);
	const { done } = await lines.next();
	if (done)
		process.exit(1);
}

function get(port, number) {
	return new Promise((resolve, reject) => {
		http.get({ host: '127.0.0.1', port, path: `/${number}` }, (response) => {
			let text = '';
			response.on('data', (part) => { text += part; });
			response.on('end', () => resolve(text));
		}).on('error', reject);
	});
}

async function network() {
	const server = http.createServer((request, response) => response.end(`answer ${request.url}`));
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address();
	console.log((await Promise.all([1, 2, 3, 4].map((n) => get(port, n)))).join(' '));
	await new Promise((resolve) => server.close(resolve));
}

async function files() {
	const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'node-'));
	const name = path.join(folder, 'file');
	await fs.writeFile(name, 'x'.repeat(100000));
	await fs.rename(name, `${name}.new`);
	const packed = zlib.gzipSync(await fs.readFile(`${name}.new`));
	console.log((await fs.readdir(folder)).join(), zlib.gunzipSync(packed).length);
	await fs.rm(folder, { recursive: true });
}

function child() {
	return new Promise((resolve) => {
		const sort = spawn('sort', ['-n'], { stdio: ['pipe', 'pipe', 'inherit'] });
		let text = '';
		sort.stdout.on('data', (part) => { text += part; });
		sort.on('close', (code) => {
			console.log(text.split('\n').slice(0, 3).join(), code);
			resolve();
		});
		sort.stdin.end('3\n1\n2\n');
	});
}

function worker() {
	const code = 'require("worker_threads").parentPort.postMessage([...Array(1000).keys()].reduce((a, b) => a + b))';
	return new Promise((resolve) => {
		const thread = new Worker(code, { eval: true });
		thread.on('message', (sum) => console.log(sum));
		thread.on('exit', resolve);
	});
}

(async () => {
	await waitForLine('ready');
	await network();
	await files();
	await child();
	await worker();
	await waitForLine('worked');
	console.log('done');
	process.exit(8);
})();
