package tapnet.sample

import android.app.Application
import android.os.Handler
import android.os.Looper
import hce.Engine
import hce.Hce
import java.util.concurrent.Executors
import org.json.JSONObject

/** The engine's life. The library is loaded and the engine made when the process starts, long before a reader asks. */
class Wallet : Application() {
    lateinit var engine: Engine
        private set
    private lateinit var platform: KeyStorePlatform
    private val worker = Executors.newSingleThreadExecutor()
    private val main = Handler(Looper.getMainLooper())
    private var waitingForKey: (() -> Unit)? = null

    override fun onCreate() {
        super.onCreate()
        platform = KeyStorePlatform(this)
        engine = Hce.newEngine(platform, JSONObject().put("device", platform.deviceRef()).toString())
    }

    /** The holder has verified: by fingerprint, say, through BiometricPrompt. Arm away from the main thread: hardware keys take their time. */
    fun pay(cvmType: Int, verifiedAgoMs: Long, tokenRef: String = "", onRefused: (Int) -> Unit) {
        worker.execute {
            val code = engine.arm(tokenRef, cvmType, verifiedAgoMs)
            main.post {
                if (code != Hce.ArmOK) onRefused(code)
                waitingForKey?.invoke()
                waitingForKey = null
            }
        }
    }

    /** With the payment password: the platform stretches it when the engine asks, and forgets it. */
    fun payWithPassword(password: CharArray, onRefused: (Int) -> Unit) {
        platform.typed(password)
        pay(Hce.CVMPassword.toInt(), 0, onRefused = onRefused)
    }

    fun whenArmed(answer: () -> Unit) {
        waitingForKey = answer
    }

    /** Never on the thread of the reader: it waits for the network. A scheduled worker and a push message call it as well. */
    fun refreshIfNeeded() = worker.execute {
        val tokens = JSONObject(engine.statusJSON()).getJSONArray("tokens")
        val needed = (0 until tokens.length()).any { tokens.getJSONObject(it).getBoolean("needs_network") }
        if (needed) runCatching { engine.replenish() }
    }
}
