//! A client that reads: a thread and a socket of its own, and nothing between the kernel and the note of what came. Whatever else this
//! process does, and however late its tasks are, what is noted has just left the kernel.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::Problem;
use crate::load::{Seen, Signing, What, note};

/// What the kernel may hold before it is read, in bytes (Linux doubles it): what lies there is the client's own.
const RECEIVE_BUFFER: usize = 8 * 1024;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);
/// No head is longer.
const HEAD: usize = 16 * 1024;

/// What one thread reads.
pub(crate) struct Reader {
    gate: SocketAddr,
    signing: Signing,
    seen: Seen,
    open: Option<TcpStream>,
    /// When it last had all that the kernel had.
    looked: Instant,
}

/// Ends the thread with it, at the next byte or at the connection's end.
pub(crate) struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How a key is read, again and again.
#[derive(Clone, Copy)]
pub(crate) struct Habit {
    pub(crate) key: &'static str,
    /// The rest after each read of the socket.
    pub(crate) sip: Option<Duration>,
    /// The rest after each answer.
    pub(crate) pause: Duration,
    /// Whether an answer that is whole is told of.
    pub(crate) tells: bool,
}

impl Reader {
    pub(crate) fn new(gate: SocketAddr, signing: Signing, seen: Seen) -> Self {
        Self {
            gate,
            signing,
            seen,
            open: None,
            looked: Instant::now(),
        }
    }

    /// Reads by this habit in a thread of its own.
    pub(crate) fn begin(mut self, habit: Habit) -> Result<Running, Problem> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::Builder::new().name(habit.key.to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                match self.get(habit, &stopped) {
                    Ok(200) if habit.tells => note(&self.seen, What::Served(began)),
                    Ok(200) => {}
                    Ok(_) => note(&self.seen, What::Refused),
                    // Cut: what comes next tells.
                    Err(_) => self.open = None,
                }
                thread::sleep(habit.pause);
            }
        })?;
        Ok(Running(stop))
    }

    /// One GET; every piece of a good answer's body is noted as it leaves the kernel.
    fn get(&mut self, habit: Habit, stopped: &AtomicBool) -> io::Result<u16> {
        let mut stream = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let head = self
            .signing
            .head(habit.key)
            .map_err(|Problem(what)| io::Error::other(what))?;
        stream.write_all(head.as_bytes())?;
        let mut buffer = vec![0; HEAD];
        let mut filled = 0;
        self.looked = Instant::now();
        let body_at = loop {
            match stream.read(&mut buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
            if let Some(at) = buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, len) = told(&buffer[..body_at]).ok_or(io::ErrorKind::InvalidData)?;
        let mut left = len.saturating_sub(filled - body_at);
        self.came(status, filled - body_at);
        while left > 0 && !stopped.load(Ordering::Relaxed) {
            if let Some(sip) = habit.sip {
                thread::sleep(sip);
            }
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => {
                    left = left.saturating_sub(more);
                    self.came(status, more);
                }
            }
        }
        self.open = (left == 0).then_some(stream);
        Ok(status)
    }

    fn came(&mut self, status: u16, len: usize) {
        if status == 200 && len > 0 {
            let since = self.looked;
            note(&self.seen, What::Bytes { len, since });
        }
        self.looked = Instant::now();
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect_timeout(&self.gate.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

/// Status and length that a head announces.
fn told(head: &[u8]) -> Option<(u16, usize)> {
    let text = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (_, rest) = text.split_once("content-length: ")?;
    Some((status, rest.split_once("\r\n")?.0.parse().ok()?))
}
