package tapnet.sample

import android.content.Context
import android.os.SystemClock
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties.*
import android.security.keystore.UserNotAuthenticatedException
import android.util.AtomicFile
import hce.Buffer
import hce.Hce
import hce.Platform
import java.io.File
import java.math.BigInteger
import java.net.HttpURLConnection
import java.net.URL
import java.security.AlgorithmParameters
import java.security.KeyFactory
import java.security.KeyPairGenerator
import java.security.KeyStore
import java.security.PrivateKey
import java.security.SecureRandom
import java.security.Signature
import java.security.interfaces.ECPublicKey
import java.security.spec.ECGenParameterSpec
import java.security.spec.ECParameterSpec
import java.security.spec.ECPoint
import java.security.spec.ECPublicKeySpec
import javax.crypto.Cipher
import javax.crypto.KeyAgreement
import javax.crypto.KeyGenerator
import javax.crypto.Mac
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/**
 * What the engine asks of the phone. Bytes go back through a Buffer: the array that the binding hands over is a copy, and what is written into
 * it never reaches the engine. No function throws: a failure is a negative number.
 */
class KeyStorePlatform(private val context: Context) : Platform {
    private val store: KeyStore = KeyStore.getInstance(PROVIDER).apply { load(null) }
    private val random = SecureRandom()
    private var password: CharArray? = null

    init {
        if (!store.containsAlias(Hce.AliasSign)) generate()
    }

    private fun generate() {
        pair(Hce.AliasSign, PURPOSE_SIGN)
        pair(Hce.AliasAgree, PURPOSE_AGREE_KEY)
        KeyGenerator.getInstance(KEY_ALGORITHM_AES, PROVIDER).apply {
            init(
                KeyGenParameterSpec.Builder(Hce.AliasRest, PURPOSE_ENCRYPT or PURPOSE_DECRYPT)
                    .setKeySize(256).setBlockModes(BLOCK_MODE_GCM).setEncryptionPaddings(ENCRYPTION_PADDING_NONE).build(),
            )
        }.generateKey()
    }

    private fun pair(alias: String, purpose: Int) {
        KeyPairGenerator.getInstance(KEY_ALGORITHM_EC, PROVIDER).apply {
            initialize(
                KeyGenParameterSpec.Builder(alias, purpose)
                    .setAlgorithmParameterSpec(ECGenParameterSpec("secp256r1")).setDigests(DIGEST_SHA256).build(),
            )
        }.generateKeyPair()
    }

    /** Runs what may fail; what the holder must unlock first is told apart. */
    private inline fun guarded(act: () -> Int): Int = try {
        act()
    } catch (_: UserNotAuthenticatedException) {
        Hce.PlatformLocked
    } catch (_: Exception) {
        Hce.PlatformFailed
    }

    private fun Buffer.take(b: ByteArray): Int = if (set(b) < 0) Hce.PlatformFailed else 0

    override fun hmacInto(alias: String, data: ByteArray, out: Buffer): Int = guarded {
        val key = store.getKey(alias, null) as? SecretKey ?: return Hce.PlatformNotFound
        out.take(Mac.getInstance("HmacSHA256").run { init(key); doFinal(data) })
    }

    override fun sealInto(alias: String, plain: ByteArray, aad: ByteArray, out: Buffer): Int = guarded {
        val cipher = Cipher.getInstance(GCM).apply { init(Cipher.ENCRYPT_MODE, store.getKey(alias, null)); updateAAD(aad) }
        out.take(cipher.iv + cipher.doFinal(plain))
    }

    override fun openInto(alias: String, sealed: ByteArray, aad: ByteArray, out: Buffer): Int = guarded {
        val cipher = Cipher.getInstance(GCM)
        cipher.init(Cipher.DECRYPT_MODE, store.getKey(alias, null), GCMParameterSpec(128, sealed, 0, NONCE))
        cipher.updateAAD(aad)
        out.take(cipher.doFinal(sealed, NONCE, sealed.size - NONCE))
    }

    override fun signInto(alias: String, data: ByteArray, out: Buffer): Int = guarded {
        out.take(Signature.getInstance("SHA256withECDSA").run { initSign(store.getKey(alias, null) as PrivateKey); update(data); sign() })
    }

    override fun agreeInto(alias: String, peer: ByteArray, out: Buffer): Int = guarded {
        out.take(KeyAgreement.getInstance("ECDH", PROVIDER).run { init(store.getKey(alias, null)); doPhase(point(peer), true); generateSecret() })
    }

    override fun publicInto(alias: String, out: Buffer): Int = guarded {
        val w = (store.getCertificate(alias).publicKey as ECPublicKey).w
        out.take(byteArrayOf(4) + fixed(w.affineX) + fixed(w.affineY))
    }

    /**
     * A binding key comes wrapped for the agreement key. The strong way is WrappedKeyEntry, where the key store opens it and the application
     * never sees it; the service must then wrap it as SecureKeyWrapper. Not done in this sample.
     */
    override fun importKey(alias: String, wrapped: ByteArray): Int = Hce.PlatformFailed

    override fun deleteKey(alias: String): Int = guarded { store.deleteEntry(alias); 0 }

    /** The verifier is Argon2id with cost 3, 64 MiB, 1 lane: any library of the application's choice. Not part of this sample. */
    override fun passwordInto(salt: ByteArray, out: Buffer): Int {
        val typed = password ?: return Hce.PlatformNoPassword
        password = null
        typed.fill('0')
        return Hce.PlatformFailed
    }

    fun typed(digits: CharArray) {
        password = digits
    }

    override fun randomInto(n: Int, out: Buffer): Int = out.take(ByteArray(n).also(random::nextBytes))

    /** Key attestation: the certificate chain of a key made with setAttestationChallenge. */
    override fun attestJSON(challenge: String): String = ""

    override fun postInto(path: String, body: ByteArray, out: Buffer): Int = try {
        (URL(SERVICE + path).openConnection() as HttpURLConnection).run {
            requestMethod = "POST"
            doOutput = true
            connectTimeout = 10_000
            readTimeout = 10_000
            setRequestProperty("Content-Type", "application/octet-stream")
            outputStream.use { it.write(body) }
            val stream = if (responseCode < 400) inputStream else errorStream
            val answer = stream?.use { it.readNBytes(Hce.MaxBufferBytes.toInt()) } ?: ByteArray(0)
            if (out.set(answer) < 0) Hce.PlatformFailed else responseCode
        }
    } catch (_: Exception) {
        Hce.PlatformFailed
    }

    /** AtomicFile writes a new file, syncs it and renames: the old record or the new one is there after a crash. */
    override fun put(key: String, value: ByteArray): Int = guarded {
        val file = AtomicFile(file(key))
        if (value.isEmpty()) {
            file.delete()
        } else {
            val stream = file.startWrite()
            try {
                stream.write(value)
                file.finishWrite(stream)
            } catch (e: Exception) {
                file.failWrite(stream)
                throw e
            }
        }
        0
    }

    override fun getInto(key: String, out: Buffer): Int = guarded {
        val file = file(key)
        if (!file.exists()) return Hce.PlatformNotFound
        out.take(AtomicFile(file).readFully())
    }

    override fun nowMs(): Long = System.currentTimeMillis()

    override fun elapsedNs(): Long = SystemClock.elapsedRealtimeNanos()

    /** The reference under which the service enrolled this device. */
    fun deviceRef(): String = context.getSharedPreferences("device", Context.MODE_PRIVATE).getString("ref", "device-not-enrolled")!!

    private fun file(key: String) = File(context.noBackupFilesDir, key.toByteArray().joinToString("") { "%02x".format(it) })

    private fun point(b: ByteArray) = KeyFactory.getInstance("EC").generatePublic(
        ECPublicKeySpec(
            ECPoint(BigInteger(1, b.copyOfRange(1, 33)), BigInteger(1, b.copyOfRange(33, 65))),
            AlgorithmParameters.getInstance("EC").run {
                init(ECGenParameterSpec("secp256r1"))
                getParameterSpec(ECParameterSpec::class.java)
            },
        ),
    )

    private fun fixed(v: BigInteger): ByteArray {
        val b = v.toByteArray().takeLast(32).toByteArray()
        return ByteArray(32 - b.size) + b
    }

    private companion object {
        const val PROVIDER = "AndroidKeyStore"
        const val GCM = "AES/GCM/NoPadding"
        const val NONCE = 12
        const val SERVICE = "https://cloud.example"
    }
}
