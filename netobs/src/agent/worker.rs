//! A thread with something of its own that is asked questions, one after another.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot::{self, Receiver};

type Question<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The way to ask. The thread ends when the last of these is dropped.
#[derive(Debug)]
pub struct Worker<S> {
    questions: Sender<Question<S>>,
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone() }
    }
}

/// What a thread that was just started will tell.
pub struct Started<S> {
    /// The way to ask it.
    pub worker: Worker<S>,
    /// Whether it has got what it works with.
    pub ready: Receiver<anyhow::Result<()>>,
    /// Closed when it has ended, and let go of that.
    pub ended: Receiver<()>,
}

impl<S: 'static> Worker<S> {
    /// Starts the thread, which begins by making what it works with.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(name: &str, make: impl FnOnce() -> anyhow::Result<S> + Send + 'static) -> io::Result<Started<S>> {
        let (questions, asked) = channel::<Question<S>>();
        let (tell, ready) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let made = make();
            let (made, told) = match made {
                Ok(made) => (Some(made), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = tell.send(told);
            if let Some(mut own) = made {
                asked.iter().for_each(|question| question(&mut own));
            }
            drop(end);
        })?;
        Ok(Started { worker: Self { questions }, ready, ended })
    }

    /// Has something done, in its turn, and waits for nothing.
    pub fn tell(&self, what: impl FnOnce(&mut S) + Send + 'static) {
        let _ = self.questions.send(Box::new(what));
    }

    /// Asks, and waits for the answer. `None` if the thread is dead: a question brought it down.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut S) -> T + Send + 'static) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(move |own: &mut S| {
            // Who has hung up meanwhile wants no answer.
            if !reply.is_closed() {
                let _ = reply.send(question(own));
            }
        });
        self.questions.send(asked).ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn answers_in_turn_and_ends_with_the_last_that_asks() {
        let Started { worker, ready, ended } = Worker::start("w", || Ok(1)).unwrap();
        block_on(async {
            ready.await.unwrap().unwrap();
            let second = worker.clone();
            assert_eq!(
                worker
                    .ask(|own| {
                        *own += 1;
                        *own
                    })
                    .await,
                Some(2)
            );
            drop(worker);
            assert_eq!(second.ask(|own| *own).await, Some(2));
            drop(second);
            assert!(ended.await.is_err());
        });
    }

    #[test]
    fn what_cannot_be_made_is_said_and_what_died_answers_nothing() {
        let Started { worker, ready, .. } = Worker::<u8>::start("w", || anyhow::bail!("no")).unwrap();
        assert_eq!(block_on(ready).unwrap().unwrap_err().to_string(), "no");
        assert_eq!(block_on(worker.ask(|own| *own)), None);
    }
}
