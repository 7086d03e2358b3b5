//! What is queued.

use crate::{gen_server::GenServer, notice::Notice, reply::Claim};

/// A message of a user, and who waits for its answer.
pub(crate) enum Envelope<S: GenServer> {
    Call(S::Call, Claim),
    Cast(S::Cast),
    Info(S::Info),
    /// An `Info` that is yet to be made.
    Notice(Box<Notice<S::Info>>),
    /// A message of the server to itself, where messages of others may have to give way.
    Own(Box<Self>),
}

impl<S: GenServer> Envelope<S> {
    pub(crate) fn into_cast(self) -> S::Cast {
        match self {
            Self::Cast(cast) => cast,
            Self::Own(own) => own.into_cast(),
            Self::Call(..) | Self::Info(_) | Self::Notice(_) => {
                unreachable!("what comes back is what was sent")
            }
        }
    }

    pub(crate) fn into_info(self) -> S::Info {
        match self {
            Self::Info(info) => info,
            Self::Own(own) => own.into_info(),
            Self::Call(..) | Self::Cast(_) | Self::Notice(_) => {
                unreachable!("what comes back is what was sent")
            }
        }
    }

    /// Whether it is others' mail: such as may give way to newer mail.
    pub(crate) fn is_mail(&self) -> bool {
        match self {
            Self::Call(..) | Self::Cast(_) | Self::Info(_) => true,
            Self::Notice(notice) => notice.is_mail(),
            Self::Own(_) => false,
        }
    }
}
