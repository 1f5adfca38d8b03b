//! Every bound of the admin side, in one place. Something defined happens at each of them.

use std::time::Duration;

/// Addresses to listen on.
pub const ADDRESSES_COUNT_MAX: usize = 8;
/// Clients connected at the same time, event streams apart. At the bound the idle one that would time out first is closed.
pub const CONNECTIONS_COUNT_MAX: usize = 256;
/// Event streams open at the same time; a further one is refused.
pub const STREAMS_COUNT_MAX: usize = 128;
/// Threads that answer requests.
pub const HANDLERS_COUNT: usize = 4;
/// Requests handed over to be answered at the same time: none of them waits for a thread. Further ones wait in the front.
pub const IN_FLIGHT_COUNT_MAX: usize = HANDLERS_COUNT;
/// Commands handed over at the same time, so that a slow one never keeps a health page waiting.
pub const COMMANDS_IN_FLIGHT_COUNT_MAX: usize = HANDLERS_COUNT - 2;
/// Requests taken from one connection, then it is closed.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 10_000;

/// Longest request line and headers, line ends included.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines of a request.
pub const HEADERS_COUNT_MAX: usize = 64;
/// Longest body of a request.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest answer, headers included.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Answers that clients have not read yet, together. Beyond it no further request is handed over.
pub const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes thrown away from a client that still sends after an error ended its connection.
pub const LINGER_BYTES_MAX: usize = 256 * 1024;

/// From the first byte of a request to the end of its headers, and from there to the end of its body.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Between requests of a connection that is kept. Prometheus asks every 15 to 60 s.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// From a complete request to its answer; then 503.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// From the first byte of an answer to its last.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection that ended with an error is kept so that the client can read why.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// How long a stop waits for answers under way.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(2);

const _: () = assert!(COMMANDS_IN_FLIGHT_COUNT_MAX > 0 && COMMANDS_IN_FLIGHT_COUNT_MAX < IN_FLIGHT_COUNT_MAX);
const _: () = assert!(ANSWER_BYTES_MAX <= ANSWERS_BYTES_MAX);

/// Events published and not yet told.
pub const EVENTS_QUEUED_COUNT_MAX: usize = 4 * 1024;
/// Events kept for those who come late.
pub const EVENTS_KEPT_COUNT_MAX: usize = 4 * 1024;
/// Events that wait for one listener; further ones are counted and it is told how many.
pub const EVENTS_WAITING_COUNT_MAX: usize = EVENTS_KEPT_COUNT_MAX;
/// Bytes prepared for one listener at once.
pub const STREAM_BYTES_MAX: usize = 16 * 1024;
/// How often a listener that hears nothing is told that the connection is alive.
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a listener may take nothing of what waits for it before it is let go.
pub const STREAM_STALL_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest message taken from a listener. It has nothing to say.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Most parameters of a query.
pub const QUERY_PARAMETERS_COUNT_MAX: usize = 16;
/// Workers on a page unless asked for otherwise.
pub const WORKERS_PER_PAGE_DEFAULT: u64 = 100;
/// Most workers on a page.
pub const WORKERS_PER_PAGE_MAX: u64 = 1_000;
/// Longest ban that ends by itself: ten years.
pub const BAN_SECONDS_MAX: u64 = 315_360_000;
/// Longest time for which miners are kept where an operator moved them: a week.
pub const MOVE_SECONDS_MAX: u32 = 604_800;
/// Longest drill.
pub const DRILL_SECONDS_MAX: u32 = 86_400;
/// Longest text that an operator may give as a reason, characters.
pub const WORDS_CHARS_MAX: usize = 200;
