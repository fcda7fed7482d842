// SPDX-License-Identifier: GPL-2.0
// An HTTP server that serves the files of one folder. It keeps idle connections for long, as the
// client of a slow guest may not send its next request in time.
const fs = require("fs"), http = require("http"), path = require("path");

http.createServer({ keepAliveTimeout: 600000 }, (request, response) => {
  const file = path.join("/var/www/html", path.basename(request.url));
  fs.stat(file, (error, status) => {
    if (error || !status.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Length": status.size });
    fs.createReadStream(file).pipe(response);
  });
}).listen(8083, "0.0.0.0");
