//! Standard input of a command: in blocks, each kept until the host has it.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::heard::Heard;

const BLOCK_BYTES: usize = 32 * 1024;
/// Blocks under way.
const BLOCKS_MAX: usize = 8;

/// What is to go into a command, whatever becomes of sessions.
#[derive(Debug)]
pub(super) struct Input {
    source: Option<DuplexStream>,
    blocks: VecDeque<Vec<u8>>,
    /// Where the first block stands in the whole.
    begin: u64,
    has_ended: bool,
}

impl Input {
    pub(super) fn new(source: Option<DuplexStream>) -> Self {
        Self {
            has_ended: source.is_none(),
            source,
            blocks: VecDeque::new(),
            begin: 0,
        }
    }

    /// Lets go of what the host has. It takes blocks as a whole.
    fn drop_until(&mut self, taken: u64) {
        while let Some(block) = self.blocks.front() {
            let end = self.begin + block.len() as u64;
            if end > taken {
                return;
            }
            self.begin = end;
            self.blocks.pop_front();
        }
    }

    /// Sends blocks to one session for as long as it lasts. Never completes.
    ///
    /// `midway` is true while a block is being written, so that nothing else may be.
    pub(super) async fn feed(
        &mut self,
        stdin: &mut (impl tokio::io::AsyncWrite + Unpin),
        heard: &mut watch::Receiver<Heard>,
        midway: &mut bool,
    ) {
        // The session that takes over says how far the former one came.
        if heard.wait_for(|heard| heard.takes_input).await.is_err() {
            return std::future::pending().await;
        }
        let (mut sent, mut end_sent) = (0, false);
        loop {
            let (taken, deaf, end_known) = {
                let heard = heard.borrow_and_update();
                (heard.taken, heard.deaf, heard.input_ended)
            };
            let before = self.blocks.len();
            self.drop_until(taken);
            sent -= sent.min(before - self.blocks.len());
            if deaf {
                // Who writes on learns it.
                (self.source, self.has_ended) = (None, true);
                self.blocks.clear();
                return std::future::pending().await;
            }
            while let Some(block) = self.blocks.get(sent) {
                let head = format!("i{}\n", block.len());
                *midway = true;
                let written = async {
                    stdin.write_all(head.as_bytes()).await?;
                    stdin.write_all(block).await?;
                    stdin.flush().await
                };
                if written.await.is_err() {
                    return std::future::pending().await;
                }
                *midway = false;
                sent += 1;
            }
            if self.has_ended && !end_sent && !end_known {
                if stdin.write_all(b"e\n").await.is_err() || stdin.flush().await.is_err() {
                    return std::future::pending().await;
                }
                end_sent = true;
            }
            let more = self.source.as_mut().filter(|_| self.blocks.len() < BLOCKS_MAX);
            let mut block = vec![0; BLOCK_BYTES];
            tokio::select! {
                changed = heard.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                read = read_more(more, &mut block) => match read {
                    0 => (self.source, self.has_ended) = (None, true),
                    length => {
                        block.truncate(length);
                        self.blocks.push_back(block);
                    }
                },
            }
        }
    }
}

async fn read_more(source: Option<&mut DuplexStream>, block: &mut [u8]) -> usize {
    match source {
        Some(source) => source.read(block).await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
