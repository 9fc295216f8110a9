//! A connection to the server that is worse than loopback: slower, and cut when a test wants it. It also counts statements.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a cut does to the next statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// Before an answer of the server is passed on that says that a statement is complete.
    BeforeAnswer,
}

/// Passes connections on to a server.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// Added to each answer.
    delay: Duration,
    statements: AtomicU64,
    connections: AtomicU64,
    is_down: AtomicBool,
    is_silent: AtomicBool,
    cut: Mutex<Cut>,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a free port, and adds this long to each round trip.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(server_port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server_port)),
            delay,
            statements: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            cut: Mutex::new(Cut::Never),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || listener.incoming().flatten().for_each(|client| accepting.pass(client)));
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Statements that clients sent since the last time.
    #[must_use]
    pub fn take_statements(&self) -> u64 {
        self.shared.statements.swap(0, Ordering::SeqCst)
    }

    /// Connections made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Cuts all connections now.
    ///
    /// # Panics
    /// When another thread panicked meanwhile.
    pub fn cut(&self) {
        self.shared.open.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Cuts the connection on which the server next says that a statement is complete, before the client gets it.
    ///
    /// # Panics
    /// When another thread panicked meanwhile.
    pub fn cut_before_next_answer(&self) {
        *self.shared.cut.lock().unwrap() = Cut::BeforeAnswer;
    }

    /// Whether nothing gets through; also cuts what is open.
    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.cut();
        }
    }
}

impl Proxy {
    /// Whether connections are accepted and get no answer. One that was made meanwhile never gets any.
    pub fn set_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

impl Shared {
    fn pass(self: &Arc<Self>, client: TcpStream) {
        if self.is_down.load(Ordering::SeqCst) {
            return;
        }
        if self.is_silent.load(Ordering::SeqCst) {
            return self.open.lock().unwrap().push(client);
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        self.connections.fetch_add(1, Ordering::SeqCst);
        for stream in [&client, &server] {
            stream.set_nodelay(true).ok();
        }
        self.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let (questions, answers) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client));
        let counting = Arc::clone(self);
        thread::spawn(move || counting.questions(questions.0, questions.1));
        let delaying = Arc::clone(self);
        thread::spawn(move || delaying.answers(answers.0, answers.1));
    }

    /// From the client: its first message has no type, each other one has.
    fn questions(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut is_first = true;
        let ended: io::Result<()> = (|| loop {
            let message = read(&mut from, !is_first)?;
            is_first = false;
            // Execute, or a query of the simple protocol.
            if matches!(message.first(), Some(b'E' | b'Q')) {
                self.statements.fetch_add(1, Ordering::SeqCst);
            }
            to.write_all(&message)?;
        })();
        drop(ended);
        close(&from, &to);
    }

    fn answers(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let answer = &buffer[..length];
            while self.is_silent.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            if !self.delay.is_zero() {
                thread::sleep(self.delay);
            }
            // `CommandComplete` of a statement whose rows came before it, or of one without rows.
            if answer.windows(5).any(|bytes| bytes == b"C\0\0\0\r") && self.is_to_be_cut() {
                break;
            }
            if to.write_all(answer).is_err() {
                break;
            }
        }
        close(&from, &to);
    }

    fn is_to_be_cut(&self) -> bool {
        let mut cut = self.cut.lock().unwrap();
        std::mem::replace(&mut *cut, Cut::Never) == Cut::BeforeAnswer
    }
}

/// One message of the protocol.
fn read(from: &mut TcpStream, has_type: bool) -> io::Result<Vec<u8>> {
    let head = if has_type { 5 } else { 4 };
    let mut message = vec![0; head];
    from.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head + length.saturating_sub(4), 0);
    from.read_exact(&mut message[head..])?;
    Ok(message)
}

fn close(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        stream.shutdown(Shutdown::Both).ok();
    }
}
