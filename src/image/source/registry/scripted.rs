// SPDX-License-Identifier: MIT
//! A registry for tests with one image. A script may replace the answer to any request.
//!
//! Test code only.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::image::source::manifest::Platform;
use crate::image::store::digest::Digest;
use crate::image::testing::Archive;

/// A request of a client.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// The path with the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// The number of earlier requests with the same method and path.
    pub before: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The number of bytes of the body after which the connection is closed.
    pub cut: Option<usize>,
    /// The pause in the middle of the body.
    pub pause: Duration,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, pause: Duration::ZERO }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The documents and blobs of the image that every scripted registry has, by path.
#[derive(Debug, Clone)]
pub struct Content {
    pub files: BTreeMap<String, Vec<u8>>,
    pub layers: Vec<Digest>,
    pub manifest: Digest,
}

pub fn content() -> Content {
    let mut files = BTreeMap::new();
    let mut layers = Vec::new();
    let mut entries = Vec::new();
    // The content cannot be compressed, so that downloads have a size. The last layer repeats the
    // first one.
    for number in [0_u32, 1, 2, 0] {
        let mut state = number + 1;
        let noise: String = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'a' + u8::try_from(state >> 28).unwrap())
            })
            .collect();
        let bytes = Archive::new().file(format!("file-{number}"), &noise).finish();
        let digest = Digest::of(&bytes);
        entries.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": bytes.len(),
                            "digest": digest.to_string()}));
        files.insert(format!("/v2/team/app/blobs/{digest}"), bytes);
        layers.push(digest);
    }
    let config = json!({
        "architecture": Platform::host().architecture, "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(ToString::to_string).collect::<Vec<_>>()}
    })
    .to_string();
    let digest = Digest::of(config.as_bytes());
    files.insert(format!("/v2/team/app/blobs/{digest}"), config.clone().into_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.to_string(),
                   "size": config.len()},
        "layers": entries
    })
    .to_string()
    .into_bytes();
    let digest = Digest::of(&manifest);
    files.insert("/v2/team/app/manifests/1".into(), manifest.clone());
    files.insert(format!("/v2/team/app/manifests/{digest}"), manifest);
    files.insert("/v2/".into(), b"{}".to_vec());
    Content { files, layers, manifest: digest }
}

type Script = dyn Fn(&Asked) -> Option<Reply> + Send + Sync;

pub struct Scripted {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Serves the content; `script` may replace any answer.
    pub fn start(script: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, end) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let script: Arc<Script> = Arc::new(script);
        let content = Arc::new(content());
        let (log, over) = (Arc::clone(&asked), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (script, content, log) = (Arc::clone(&script), Arc::clone(&content), Arc::clone(&log));
                std::thread::spawn(move || {
                    // A client may disconnect at any time, so errors are ignored.
                    let _ = serve(&stream.unwrap(), &*script, &content, &log);
                });
            }
        });
        Self { port, asked, end, thread: Some(thread) }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the number of requests for a path.
    pub fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(stream: &TcpStream, script: &Script, content: &Content, log: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body)?;
    let body = String::from_utf8(body).unwrap();
    let asked = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|asked| asked.method == method && asked.path == path).count();
        let asked = Asked { method, path, headers, body, before };
        log.push(asked.clone());
        asked
    };
    let reply = script(&asked).unwrap_or_else(|| match content.files.get(&asked.path) {
        Some(bytes) => Reply::new(200, bytes.clone()),
        None => Reply::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"never heard of it"}]}"#),
    });
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len())?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let body = reply.body.get(..reply.cut.unwrap_or(reply.body.len())).unwrap();
    let (first, second) = body.split_at(body.len() / 2);
    stream.write_all(first)?;
    std::thread::sleep(reply.pause);
    stream.write_all(second)
}
